import EtcdAPI

/// What both servers sent on one watch stream, compared.
enum WatchComparison {
    /// Responses without events: created, canceled, progress.
    static func check(
        controls wanted: [EtcdWatchResponse], _ got: [EtcdWatchResponse], _ place: String,
    ) throws {
        guard wanted.map(\.readableText) != got.map(\.readableText) else { return }
        throw Mismatch(
            etcd: "\(place): " + wanted.map { "[\($0.readableText)]" }.joined(separator: " "),
            t4: "\(place): " + got.map { "[\($0.readableText)]" }.joined(separator: " "))
    }

    /// Events that came one revision after the other: every field, and which came together.
    static func check(
        live wanted: [EtcdWatchResponse], _ got: [EtcdWatchResponse], _ place: String, etcd: Side, t4: Side
    )
        throws
    {
        let (left, right) = (wanted.withoutFragments, got.withoutFragments)
        let (leftText, rightText) = (try text(left, etcd), try text(right, t4))
        guard leftText == rightText else { throw Mismatch(etcd: "\(place): \(leftText)", t4: "\(place): \(rightText)") }
    }

    /// Events of the past: every field of theirs. How much of it comes at once, and which revision the header names, is
    /// the server's choice, but never a part of a revision.
    ///
    /// - Parameters:
    ///   - compacted: The compacted revision when the watch began.
    ///   - wantsPrevious: Whether the watch asked for previous values.
    /// - Returns: The known differences that showed.
    static func check(
        history wanted: [EtcdWatchResponse], _ got: [EtcdWatchResponse], _ place: String, compacted: Int64,
        wantsPrevious: Bool, etcd: Side, t4: Side,
    ) throws -> [KnownDifference] {
        for (side, responses) in [(etcd, wanted.withoutFragments), (t4, got.withoutFragments)] {
            var last: Int64 = 0
            for response in responses {
                let revisions = response.events.map(\.kv.modRevision)
                guard let first = revisions.first, let end = revisions.last, revisions == revisions.sorted(),
                    first > last, response.header.revision >= end
                else { throw Mismatch("\(side.name): \(place): \(try text(responses, side))") }
                last = end
            }
        }
        var (left, right) = (together(wanted), together(got))
        var known: [KnownDifference] = []
        let lost = right.events.filter { $0.type == .delete && $0.kv.modRevision == compacted }
        if !lost.isEmpty, !left.events.contains(where: { $0.type == .delete && $0.kv.modRevision == compacted }) {
            right.events.removeAll { lost.contains($0) }
            // etcd may have sent nothing at all then, from which no id can be read.
            if wanted.isEmpty { left.watchID = right.watchID }
            known.append(.tombstoneAtCompaction)
        }
        if wantsPrevious, !left.events.contains(where: \.hasPrevKv), right.events.contains(where: \.hasPrevKv) {
            for index in right.events.indices { right.events[index].clearPrevKv() }
            known.append(.previousForgotten)
        }
        left.header.revision = right.header.revision
        let (leftText, rightText) = (try text([left], etcd), try text([right], t4))
        guard leftText == rightText else { throw Mismatch(etcd: "\(place): \(leftText)", t4: "\(place): \(rightText)") }
        return known
    }

    private static func together(_ responses: [EtcdWatchResponse]) -> EtcdWatchResponse {
        var whole = EtcdWatchResponse()
        whole.watchID = responses.first?.watchID ?? 0
        whole.events = responses.flatMap(\.events)
        return whole
    }

    private static func text(_ responses: [EtcdWatchResponse], _ side: Side) throws -> String {
        try responses.map { side.named(try [TextField](text: $0.readableText)).text }.joined(separator: "\n        ")
    }
}
