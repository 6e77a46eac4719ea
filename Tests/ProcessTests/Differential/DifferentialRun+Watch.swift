import EtcdAPI
import SwiftProtobuf

// What a run does with watch streams. Behind every step everything that is due has come on both servers, so that no
// step meets a watch in a state that only time decides.

extension DifferentialRun {
    /// Sends one request on a stream and compares the answers, then what the watch gets.
    mutating func watch(_ step: Step) async throws {
        let number = step.stream ?? 0
        let message = try etcd.message(of: step, revision: revision, compacted: compacted)
        let request = try EtcdWatchRequest(serializedBytes: message)
        let isCreation = if case .createRequest = request.requestUnion { true } else { false }
        closeIfHalfClosed(number)
        let (left, right) = (stream(number, \.etcd), stream(number, \.t4))
        for stream in [left, right] {
            stream.send(message)
            try stream.sendFence()
        }
        let limit = limit
        let answers = isCreation ? 2 : 1
        async let leftDone: Void = left.tape.wait(for: "\(etcd.name)'s answer to \(step)", within: limit) {
            $0.createdCount >= answers
        }
        async let rightDone: Void = right.tape.wait(for: "\(t4.name)'s answer to \(step)", within: limit) {
            $0.createdCount >= answers
        }
        _ = try await (leftDone, rightDone)
        let wanted = try controls(left, \.etcd, fenced: true)
        let got = try controls(right, \.t4, fenced: true)
        try compare(wanted, got, on: number)
        if case .createRequest(let creation) = request.requestUnion, let answer = wanted.first(where: \.created) {
            try await created(creation, answer, on: number)
        }
    }

    /// Compares responses without events and follows what they tell.
    private mutating func compare(_ wanted: [EtcdWatchResponse], _ got: [EtcdWatchResponse], on number: Int) throws {
        func isProgress(_ response: EtcdWatchResponse) -> Bool { !response.created && !response.canceled }
        var (wanted, got) = (wanted, got)
        if model.pendingProgress.contains(number) { got.removeAll(where: isProgress) }
        if wanted.contains(where: isProgress) {
            if !model.hasWatch(on: number) {
                report.known.insert(KnownDifference.progressOfNothing.name)
                wanted.removeAll(where: isProgress)
            } else if model.hasFutureWatch(on: number, revision: revision) || model.pendingProgress.contains(number) {
                report.known.insert(KnownDifference.progressAhead.name)
                model.pendingProgress.insert(number)
                wanted.removeAll(where: isProgress)
            }
        }
        try WatchComparison.check(controls: wanted, got, "stream \(number)")
        for response in wanted where response.canceled && !response.created {
            model.active[WatchModel.WatchKey(stream: number, id: response.watchID)] = nil
        }
    }

    /// Follows a creation until the new watch has all of the past that it asked for.
    private mutating func created(
        _ creation: EtcdWatchCreateRequest, _ answer: EtcdWatchResponse, on number: Int,
    ) async throws {
        guard !answer.canceled else { return }
        let key = WatchModel.WatchKey(stream: number, id: answer.watchID)
        if creation.startRevision != 0, creation.startRevision < compacted {
            return try await compactedAway(key)
        }
        let watch = WatchModel.ActiveWatch(creation, revision: revision)
        model.active[key] = watch
        guard watch.isCatchingUp else { return }
        if model.due(watch, compacted: compacted).etcd == 0 { try await passCatchUp() }
        // The write that `passCatchUp` made may have been for this watch too.
        let due = model.due(watch, compacted: compacted)
        try await deliver(due.t4 > 0 ? [key: due] : [:], catchingUp: key)
        model.active[key]?.isCatchingUp = false
    }

    /// A watch from below the compacted revision is told so.
    private mutating func compactedAway(_ key: WatchModel.WatchKey) async throws {
        let limit = limit
        var ends: [[EtcdWatchResponse]] = []
        for (side, stream) in [(etcd, stream(key.stream, \.etcd)), (t4, stream(key.stream, \.t4))] {
            try await stream.tape.wait(for: "\(side.name) to end watch \(key.id)", within: limit) {
                !$0.compactions.isEmpty
            }
            ends.append(stream.tape.takeCompactions())
        }
        try WatchComparison.check(controls: ends[0], ends[1], "stream \(key.stream)")
    }

    /// Waits until no watch is catching up any more, although none gets events by which to see it.
    ///
    /// etcd looks through all that are behind in one go, so one that was made later and has got its events shows it.
    private mutating func passCatchUp() async throws {
        let put = Step(.put, [TextField("key", bytes: "~".utf8)])
        for side in [\DifferentialRun.etcd, \.t4] {
            let client = self[keyPath: side].client
            let message = try self[keyPath: side].message(of: put, revision: revision, compacted: compacted)
            guard case .message = try await Side.call(.put, message, on: client) else {
                throw Mismatch("\(self[keyPath: side].name) refused a write that lets watches catch up")
            }
        }
        revision += 1
        try await settle()
        let create = try VerbCodec.of(.watch).encode("create_request { key: \"~\" start_revision: \(revision) }")
        let limit = limit
        for side in [etcd, t4] {
            let stream = OpenStream(on: side.client)
            stream.send(create)
            try await stream.tape.wait(for: "\(side.name)'s watch of the past", within: limit) { $0.eventCount(0) > 0 }
            stream.cancel()
        }
    }

    /// Waits until both servers have told all watches about everything up to `revision`, and compares.
    mutating func settle() async throws {
        let (limit, revision) = (limit, revision)
        let (left, right) = (etcd.log, t4.log)
        let isThere: @Sendable (WatchTape.Content) -> Bool = { content in
            content.events[0]?.last?.events.last.map { $0.kv.modRevision >= revision } ?? false
        }
        async let leftDone: Void = left.tape.wait(
            for: "\(etcd.name)'s log of revision \(revision)", within: limit, isThere)
        async let rightDone: Void = right.tape.wait(
            for: "\(t4.name)'s log of revision \(revision)", within: limit, isThere)
        _ = try await (leftDone, rightDone)
        let (wanted, got) = (left.tape.takeEvents()[0] ?? [], right.tape.takeEvents()[0] ?? [])
        try WatchComparison.check(live: wanted, got, "watch of everything", etcd: etcd, t4: t4)
        try await deliver(model.add(wanted.flatMap(\.events)))
    }

    /// Waits until the watches have what is due, and compares everything that has come on the streams.
    /// - Parameter caughtUp: A new watch that has all of the past by then. What comes on any other new one stays.
    private mutating func deliver(
        _ due: [WatchModel.WatchKey: WatchModel.Due], catchingUp caughtUp: WatchModel.WatchKey? = nil,
    ) async throws {
        let behind = model.active.first { $0.value.isCatchingUp && $0.key != caughtUp }?.key
        for number in etcd.streams.keys.sorted() {
            let wanted = due.filter { $0.key.stream == number && $0.key != behind }
            let limit = limit
            let (left, right) = (stream(number, \.etcd), stream(number, \.t4))
            let what = wanted.sorted { $0.key < $1.key }.map { "\($0.value) of watch \($0.key.id)" }
            async let leftDone: Void = left.tape.wait(for: "events at \(etcd.name): \(what)", within: limit) {
                content in
                wanted.allSatisfy { content.eventCount($0.key.id) >= $0.value.etcd }
            }
            async let rightDone: Void = right.tape.wait(for: "events at \(t4.name): \(what)", within: limit) {
                content in
                wanted.allSatisfy { content.eventCount($0.key.id) >= $0.value.t4 }
            }
            _ = try await (leftDone, rightDone)
            try compare(try controls(left, \.etcd), try controls(right, \.t4), on: number)
            let kept = behind?.stream == number ? behind?.id : nil
            let (events, others) = (left.tape.takeEvents(but: kept), right.tape.takeEvents(but: kept))
            for id in Set(events.keys).union(others.keys).sorted() {
                try compare(
                    events[id] ?? [], others[id] ?? [], of: WatchModel.WatchKey(stream: number, id: id))
            }
        }
    }

    private mutating func compare(
        _ wanted: [EtcdWatchResponse], _ got: [EtcdWatchResponse], of key: WatchModel.WatchKey,
    ) throws {
        let place = "stream \(key.stream), watch \(key.id)"
        for response in wanted { try etcd.check(response.header) }
        for response in got { try t4.check(response.header) }
        guard let watch = model.active[key], watch.isCatchingUp else {
            return try WatchComparison.check(live: wanted, got, place, etcd: etcd, t4: t4)
        }
        let known = try WatchComparison.check(
            history: wanted, got, place, compacted: compacted, wantsPrevious: watch.wantsPrevious, etcd: etcd, t4: t4)
        report.known.formUnion(known.map(\.name))
    }

    /// Ends the client's side of a stream: its watches go on.
    mutating func halfClose(_ number: Int) {
        etcd.streams[number]?.halfClose()
        t4.streams[number]?.halfClose()
    }

    /// Compares what nothing was waiting for.
    mutating func finish() async throws {
        for number in etcd.streams.keys.sorted() where etcd.streams[number]?.isHalfClosed == false {
            // Cancels no watch, and its fence comes behind whatever else was sent.
            try await watch(Step(.watch, stream: number, [TextField("cancel_request", [TextField("watch_id", 4711)])]))
        }
        try await deliver([:])
        for (side, streams) in [(etcd.name, etcd.streams), (t4.name, t4.streams)] {
            for stream in streams.values {
                let rest = stream.tape.content.value
                guard rest.end == nil, rest.compactions.isEmpty else { throw Mismatch("\(side) at the end: \(rest)") }
            }
        }
    }

    /// Gives up a stream on which nothing can be asked any more, so that its number is free for a new one.
    private mutating func closeIfHalfClosed(_ number: Int) {
        guard etcd.streams[number]?.isHalfClosed == true else { return }
        etcd.streams.removeValue(forKey: number)?.cancel()
        t4.streams.removeValue(forKey: number)?.cancel()
        model.active = model.active.filter { $0.key.stream != number }
        model.pendingProgress.remove(number)
    }

    private mutating func stream(_ number: Int, _ side: WritableKeyPath<DifferentialRun, Side>) -> OpenStream {
        if let open = self[keyPath: side].streams[number] { return open }
        let open = OpenStream(on: self[keyPath: side].client)
        self[keyPath: side].streams[number] = open
        return open
    }

    /// Takes the responses without events off a stream, without the answer to the fence.
    private mutating func controls(
        _ stream: OpenStream, _ side: WritableKeyPath<DifferentialRun, Side>, fenced: Bool = false,
    ) throws -> [EtcdWatchResponse] {
        var responses = stream.tape.takeControls()
        for response in responses { try self[keyPath: side].check(response.header) }
        guard fenced else { return responses }
        guard let fence = responses.lastIndex(where: \.created), OpenStream.isFence(responses[fence]) else {
            throw Mismatch(
                "\(self[keyPath: side].name): \(responses.map(\.readableText)), \(stream.tape.content.value)")
        }
        responses.remove(at: fence)
        return responses
    }
}
