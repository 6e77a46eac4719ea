// Streams and their watches: what clients ask for.

extension WatchHubState {
    /// - Returns: Nil when the hub is closed.
    mutating func openStream(now: Duration, sink: @escaping StreamState.Sink) -> Int? {
        guard !isClosed else { return nil }
        lastStream += 1
        streams[lastStream] = StreamState(id: lastStream, nextTick: now + tickInterval(), sink: sink)
        return lastStream
    }

    mutating func closeStream(_ id: Int) -> Effects {
        var effects = Effects()
        guard let stream = streams.removeValue(forKey: id) else { return effects }
        for watch in Array(stream.watches.values) { remove(watch, &effects) }
        progressPending[id] = nil
        progressStreams[id] = nil
        return Effects(wakesWorker: false, released: [stream.sink])
    }

    mutating func drain(_ id: Int, maxBytes: Int) -> (deliveries: [WatchDelivery], effects: Effects) {
        var effects = Effects()
        guard let stream = streams[id] else { return ([], effects) }
        let deliveries = stream.drain(maxBytes: maxBytes)
        if !stream.blocked.isEmpty, stream.queuedBytes <= settings.queueBytesMax / 2 {
            for watch in stream.blocked where watch.phase == .blocked { makeReady(watch) }
            stream.blocked = []
            effects.wakesWorker = true
        }
        return (deliveries, effects)
    }

    func backlog(_ id: Int) -> (messages: Int, bytes: Int) {
        streams[id].map { ($0.queuedCount, $0.queuedBytes) } ?? (0, 0)
    }

    // MARK: Watches

    /// - Parameters:
    ///   - visible: The source's revision, read before the lock was taken.
    ///   - visibleCompacted: The source's compacted revision, likewise.
    mutating func create(
        _ spec: WatchSpec, on streamID: Int, visible: Int64, visibleCompacted: Int64, now: Duration
    ) -> (creation: WatchCreation, effects: Effects) {
        var effects = Effects()
        guard !isClosed, let stream = streams[streamID] else { return (.closed, effects) }
        compacted = max(compacted, visibleCompacted)
        let current = max(published, visible)
        func refused(_ reason: WatchEnd) -> (WatchCreation, Effects) {
            enqueue(.refused(reason, revision: Revision(current)), on: stream, &effects)
            return (.refused(reason), effects)
        }
        guard spec.startRevision >= 0 else { return refused(.negativeStart) }
        let keyBytes = spec.key.count + spec.rangeEnd.count
        guard watchCount < settings.watchesMax, self.keyBytes + keyBytes <= settings.keyBytesMax else {
            return refused(.refused("t4: too many watches on this node"))
        }
        guard let range = WatchedRange(key: spec.key, rangeEnd: spec.rangeEnd) else { return refused(.emptyRange) }
        var id = spec.id
        if id == 0 {
            while stream.isInUse(stream.nextID) { stream.nextID += 1 }
            id = stream.nextID
            stream.nextID += 1
        } else if stream.isInUse(id) {
            return refused(.duplicateID)
        }
        enqueue(.created(watchID: id, revision: Revision(current)), on: stream, &effects)
        if spec.startRevision != 0, spec.startRevision < compacted {
            enqueueCompacted(id, on: stream, &effects)
            return (.created(id), effects)
        }

        lastToken += 1
        let watch = Watch(
            token: lastToken, id: id, filter: WatchFilter(range: range, noPut: spec.noPut, noDelete: spec.noDelete),
            spec: spec, stream: stream, next: spec.startRevision == 0 ? current + 1 : spec.startRevision,
            floor: max(current, spec.startRevision))
        watchCount += 1
        if watch.filter.range.extent != .key { rangeCount += 1 }
        self.keyBytes += watch.filter.range.byteCount
        stream.watches[id] = watch
        stream.progressFloor = max(stream.progressFloor, watch.progressFloor)
        if watch.progressNotify { scheduleTicks(stream, now: now, &effects) }
        if watch.next > published {
            index.insert(watch)
        } else {
            stream.lagging += 1
            lagging[watch.token] = watch
            makeReady(watch)
            effects.wakesWorker = true
        }
        return (.created(id), effects)
    }

    mutating func refuse(_ reason: WatchEnd, on streamID: Int, visible: Int64) -> Effects {
        var effects = Effects()
        if let stream = streams[streamID] {
            enqueue(.refused(reason, revision: Revision(max(published, visible))), on: stream, &effects)
        }
        return effects
    }

    mutating func cancel(_ id: Int64, on streamID: Int, visible: Int64) -> Effects {
        var effects = Effects()
        guard let stream = streams[streamID] else { return effects }
        let revision = max(published, visible)
        if let watch = stream.watches[id] {
            end(watch, .requested, revision: revision, &effects)
        } else if stream.compactedIDs.remove(id) != nil {
            enqueue(.canceled(watchID: id, .requested, revision: Revision(revision)), on: stream, &effects)
        }
        return effects
    }

    /// Removes a watch and tells the client.
    mutating func end(_ watch: Watch, _ reason: WatchEnd, revision: Int64, _ effects: inout Effects) {
        enqueue(
            .canceled(watchID: watch.id, reason, revision: Revision(revision)), on: watch.stream, &effects)
        remove(watch, &effects)
    }

    mutating func endCompacted(_ watch: Watch, _ effects: inout Effects) {
        enqueueCompacted(watch.id, on: watch.stream, &effects)
        remove(watch, &effects)
    }

    func enqueueCompacted(_ id: Int64, on stream: StreamState, _ effects: inout Effects) {
        stream.compactedIDs.insert(id)
        let reason = WatchEnd.compacted(Revision(compacted))
        enqueue(.canceled(watchID: id, reason, revision: .none), on: stream, &effects)
    }

    mutating func remove(_ watch: Watch, _ effects: inout Effects) {
        let stream = watch.stream
        switch watch.phase {
        case .synced:
            index.remove(watch)
        case .blocked, .ready, .replaying:
            lagging[watch.token] = nil
            stream.lagging -= 1
        case .gone:
            preconditionFailure("a watch is removed once")
        }
        watch.phase = .gone
        watchCount -= 1
        if watch.filter.range.extent != .key { rangeCount -= 1 }
        keyBytes -= watch.filter.range.byteCount
        stream.watches[watch.id] = nil
        if watch.progressFloor == stream.progressFloor, watch.progressFloor > published {
            stream.progressFloor = stream.watches.values.reduce(0) { max($0, $1.progressFloor) }
        }
        answerProgress(stream, &effects)
    }

    mutating func makeReady(_ watch: Watch) {
        watch.phase = .ready
        ready.append(watch)
    }

    mutating func compact(to revision: Int64) -> Effects {
        var effects = Effects()
        compacted = max(compacted, revision)
        for watch in Array(lagging.values) where watch.next < compacted { endCompacted(watch, &effects) }
        return effects
    }

    mutating func close() -> Effects {
        var effects = Effects()
        isClosed = true
        for stream in streams.values {
            stream.isProgressPending = false
            for watch in Array(stream.watches.values) { end(watch, .stopped, revision: published, &effects) }
        }
        progressPending = [:]
        progressStreams = [:]
        earliestTick = nil
        return effects
    }
}
