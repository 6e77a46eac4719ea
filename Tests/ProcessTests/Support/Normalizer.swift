import Foundation

/// Replaces what may differ between two servers that behave alike: ids, addresses, times, sizes.
///
/// Lease ids, keys named after them and other random numbers become `<id1>`, `<id2>` in the order in which they
/// appear, so a wrong id is still seen. Revisions, counts and every other number stay.
struct Normalizer: Sendable {
    /// Addresses and folders of this run with their stand-ins.
    var names: [(actual: String, name: String)] = []
    private var numbers: [UInt64: Int] = [:]

    mutating func text(_ original: String, shapeOnly: Bool = false) -> String {
        var text = original
        for (actual, name) in names { text = text.replacing(actual, with: name) }
        for rule in Normalizer.rules { text = rule(text) }
        text = text.replacing(/"(?<name>ID|lease|Lease)"(?<mark> ?: ?)(?<value>[0-9]{10,20})\b/) { match in
            "\"\(match.name)\"\(match.mark)" + identifier(UInt64(match.value))
        }
        text = text.replacing(/memberID(?<mark>"? ?: ?)(?<value>[0-9]{10,20})\b/) { match in
            "memberID\(match.mark)" + identifier(UInt64(match.value))
        }
        // Elsewhere an id has up to 16 digits when it is hexadecimal, which 17 and more cannot be.
        text = text.replacing(/\b(?:(?<hexadecimal>[0-9a-f]{13,16})|(?<decimal>[0-9]{17,20}))\b/) { match in
            identifier(match.decimal.map { UInt64($0) } ?? match.hexadecimal.flatMap { UInt64($0, radix: 16) })
        }
        return shapeOnly ? Normalizer.shape(of: text) : text
    }

    private mutating func identifier(_ value: UInt64?) -> String {
        guard let value else { return "<no id>" }
        let number = numbers[value] ?? numbers.count + 1
        numbers[value] = number
        return "<id\(number)>"
    }

    private static let rules: [@Sendable (String) -> String] = [
        { $0.replacing(/"(?<name>cluster_id|member_id|raft_term)":[0-9]+/) { "\"\($0.name)\":<any>" } },
        { $0.replacing(/"(?<name>ClusterID|MemberID|RaftTerm)" : [0-9]+/) { "\"\($0.name)\" : <any>" } },
        // Log lines of the client.
        { $0.replacing(/"ts":(?:"[^"]*"|[0-9.]+)/, with: "\"ts\":<any>") },
        { $0.replacing(/etcd-endpoints:\/\/0x[0-9a-f]+\//, with: "etcd-endpoints://<any>/") },
        // A client that stops itself on wrong input prints where in its memory it was.
        { $0.replacing(/\n\ngoroutine [0-9]+ \[running\]:\n(?:.*\n)*/, with: "\n") },
        // The keys of a lease come in any order.
        { $0.replacing(/"keys":\[(?<keys>[^\]]*)\]/) { "\"keys\":[\(sorted($0.keys, by: ","))]" } },
        { $0.replacing(/attached keys\(\[(?<keys>[^\]]*)\]\)/) { "attached keys([\(sorted($0.keys, by: " "))])" } },
        // How often a lease is renewed before something else happens depends on the moment.
        { $0.replacing(/(?<line>lease [0-9a-f]+ keepalived with TTL\([0-9]+\)\n)(?:\k<line>)+/) { "\($0.line)" } },
        // Time that is left depends on the moment.
        { $0.replacing(/remaining\([0-9]+s\)/, with: "remaining(<any>)") },
        { $0.replacing(/"ttl":[1-9][0-9]*,"granted-ttl"/, with: "\"ttl\":<any>,\"granted-ttl\"") },
        { $0.replacing(/took = [0-9.]+[a-zµ]+/, with: "took = <any>") },
        { $0.replacing(/"took":"[0-9.]+[a-zµ]+"/, with: "\"took\":<any>") },
    ]

    private static func sorted(_ list: Substring, by separator: String) -> String {
        list.split(separator: separator).sorted().joined(separator: separator)
    }

    /// Versions, sizes, times and numbers become marks, and table columns lose their width. Progress bars go: etcdctl
    /// draws them from another thread, and may not come to the last state and the end of its line.
    private static func shape(of text: String) -> String {
        text.replacing(/\r *[0-9]+ \/ [0-9]+ +[0-9.]+%(?: +[0-9hms]+)?\n?/, with: "")
            .replacing(/[0-9]+\.[0-9]+\.[0-9]+/, with: "<version>")
            .replacing(/[0-9.]+ [kMG]?B\b/, with: "<size>")
            .replacing(/\b(?:[0-9]+(?:\.[0-9]+)?(?:h|m|s|ms|µs))+\b/, with: "<time>")
            .replacing(/<id[0-9]+>/, with: "<any>")
            .replacing(/\b[0-9]+(?:\.[0-9]+)?\b/, with: "<any>")
            .replacing(/-{2,}/, with: "--")
            .replacing(/[ ]{2,}/, with: " ")
    }
}
