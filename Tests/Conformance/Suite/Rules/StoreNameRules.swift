import T4Protocols

extension ObjectStoreRules {
    /// Names of every kind.
    static let nameRules = [
        ObjectStoreRule("names of letters, digits, dots, dashes and slashes work, in either case") { subject in
            try await checkNames(subject) {
                [
                    "manifest/latest", "wal/00000000000000000001", "sst/0AF9-00000002", "a.b.c", "x_y", "-", "A", "a",
                    "Aa", "aA",
                ]
                    + ["case/KEY", "CASE/key", "case/key", "checkpoint/0000000001/00000000000000000002/manifest.json"]
            }
        },
        ObjectStoreRule("names with blanks and punctuation work", isNeeded: false) { subject in
            try await checkNames(subject) {
                [
                    " ", "a b", " a", "a ", "a+b", "a%20b", "a%2Fb", "%", "%%", "a=b", "a&b=c", "#1", "a?b",
                    "a?versionId=1",
                ]
                    + [
                        "~", "!", "*", "'a'", "(b)", "a:b", "a;b", "a,b", "@", "$", "[x]", "{x}", "|", "\\", "^", "`",
                        "<x>",
                    ]
                    + ["a=", "a+", "a$", "a\"b", "a/=", "a/+/b", "lock", "tmp", "format", "%2e", "%2e%2e/x"]
            }
        },
        ObjectStoreRule("names beyond ASCII work, also two spellings of one letter", isNeeded: false) { subject in
            try await checkNames(subject) {
                [
                    "\u{E9}", "e\u{301}", "a/\u{301}", "\u{1F600}/x", "\u{4E2D}\u{6587}", "\u{80}", "\u{10FFFF}",
                    "\u{FFFD}",
                ]
            }
        },
        ObjectStoreRule("names with dots for parts, empty parts and slashes at the ends work", isNeeded: false) {
            subject in
            try await checkNames(subject) {
                [
                    ".", "..", "...", "../a", "a/../b", "a/./b", "a/..", ".hidden", "a/.hidden/b", "/", "//", "/a",
                    "a/", "a//",
                ]
                    + ["a//b", "a///b", "/a/", "../../../../etc/t4-conformance"]
            }
        },
        ObjectStoreRule("long names and long parts work", isNeeded: false) { subject in
            try await checkNames(subject) {
                let long = String(repeating: "n", count: 850)
                let odd = String(repeating: "%.", count: 300)
                let lengths = [66, 67, 68, 199, 200, 201, 202, 254, 255, 256, 257, 399, 400, 401, 600]
                let around = lengths.flatMap { count in
                    let part = String(repeating: "p", count: count)
                    return [part, part + "/x", part + "-", part + "0", part + "./y"]
                }
                let dots = [199, 200, 201].map { String(repeating: "d", count: $0) + "..." }
                return [long, long + "/x", long + "y", "d/" + long + "/e", odd, odd + "/a"] + around + dots
                    + [String(repeating: "a/", count: 400) + "end", String(repeating: "\u{E9}", count: 400)]
            }
        },
        ObjectStoreRule("an object, objects below its name, and their deletes do not touch each other") { subject in
            try await subject.withStore { store in
                let keys = ["a", "a/b", "a/b/c", "a/b/c/d"] as [ObjectKey]
                try await store.putEach(keys)
                var left = keys
                for key in ["a/b", "a/b/c/d", "a", "a/b/c"] as [ObjectKey] {
                    for key in left { try await expectEqual(store.text(key), key.rawValue, "body of \(key)") }
                    try await store.delete([key])
                    left.removeAll { $0 == key }
                    try await expectNames(store.listAll(), left, "after the delete of \(key)")
                }
                for key in keys.reversed() { try await store.put(key, key.rawValue) }
                try await expectNames(store.listAll(), keys, "after all were put again")
            }
        },
        ObjectStoreRule("names outside the contract are refused by every call") { subject in
            try await subject.withStore { store in
                let names = ["", String(repeating: "n", count: 1025), "a\0b", "a\nb", "\u{1F}", "a\u{7F}"]
                for key in names.map({ ObjectKey($0) }) {
                    let what =
                        "the name \(key.rawValue.prefix(10).debugDescription) of \(key.rawValue.utf8.count) bytes"
                    try await expectError(.invalidArgument, "put with \(what)") { try await store.put(key, "x") }
                    try await expectError(.invalidArgument, "get with \(what)") {
                        _ = try await store.get(key, bytes: nil)
                    }
                    try await expectError(.invalidArgument, "info with \(what)") { _ = try await store.info(key) }
                    try await expectError(.invalidArgument, "delete with \(what)") {
                        try await store.delete(["a", key])
                    }
                    guard !key.rawValue.isEmpty else { continue }
                    try await expectError(.invalidArgument, "list with \(what)") {
                        _ = try await store.list(prefix: key, after: nil, limit: 1)
                    }
                    try await expectError(.invalidArgument, "list after \(what)") {
                        _ = try await store.list(prefix: "", after: key, limit: 1)
                    }
                }
                try await expectNames(store.listAll(), [], "after the refused calls")
            }
        },
    ]

    /// Every call works with each name, and no name is mistaken for another.
    private static func checkNames(_ subject: StoreUnderTest, _ names: () -> [String]) async throws {
        var keys = names().map { ObjectKey($0) }.sorted()
        // Sets compare texts, not bytes.
        for index in keys.indices.dropFirst().reversed() where isSame(keys[index], keys[index - 1]) {
            keys.remove(at: index)
        }
        try await subject.withStore { store in
            try await store.putEach(keys)
            for key in keys {
                try await expectEqual(store.text(key), key.rawValue, "body of \(key)")
                try await expect(isSame(store.info(key).key, key), "info(\(key)) answers for another name")
            }
            try await expectNames(store.listAll(), keys, "all names")
            try await expectNames(store.listAll(pageSize: 3), keys, "all names in pages of 3")
            for (index, key) in keys.enumerated() {
                let page = try await store.list(prefix: "", after: key, limit: 1)
                try expectNames(page.objects, Array(keys[(index + 1)...].prefix(1)), "the name behind \(key)")
                let below = keys.filter { $0.rawValue.utf8.starts(with: key.rawValue.utf8) }
                try await expectNames(store.listAll(key), below, "prefix \(key)")
            }
            if subject.capabilities.putsIfAbsent {
                for key in keys {
                    try await expectError(.alreadyExists, "a create of \(key)") {
                        try await store.put(key, "x", when: .absent)
                    }
                }
            }
            let half = keys.indices.filter { $0.isMultiple(of: 2) }.map { keys[$0] }
            try await store.delete(half)
            let rest = keys.indices.filter { !$0.isMultiple(of: 2) }.map { keys[$0] }
            try await expectNames(store.listAll(), rest, "after the delete of every other name")
            try await store.delete(rest)
            try await expectNames(store.listAll(), [], "after the delete of all")
        }
    }
}
