// Progress notices and answers. None may come before an event at or below its revision.

extension WatchHubState {
    mutating func requestProgress(on streamID: Int) -> Effects {
        var effects = Effects()
        guard let stream = streams[streamID], !stream.watches.isEmpty else { return effects }
        stream.isProgressPending = true
        progressPending[streamID] = stream
        answerProgress(stream, &effects)
        return effects
    }

    /// Answers a waiting request if every watch of the stream has everything up to the published revision in the
    /// queue. Behind the watches' events in the queue, the answer cannot overtake them.
    mutating func answerProgress(_ stream: StreamState, _ effects: inout Effects) {
        guard stream.isProgressPending else { return }
        if !stream.watches.isEmpty {
            guard isCurrent(stream) else { return }
            enqueue(.progress(watchID: -1, revision: Revision(published)), on: stream, &effects)
        }
        stream.isProgressPending = false
        progressPending[stream.id] = nil
    }

    func isCurrent(_ stream: StreamState) -> Bool { stream.lagging == 0 && stream.progressFloor <= published }

    mutating func tickInterval() -> Duration {
        let interval = settings.progressInterval
        return interval + interval * Double.random(in: 0..<0.1, using: &random)
    }

    mutating func scheduleTicks(_ stream: StreamState, now: Duration, _ effects: inout Effects) {
        guard progressStreams[stream.id] == nil else { return }
        if stream.nextTick <= now { stream.nextTick = now + tickInterval() }
        progressStreams[stream.id] = stream
        if earliestTick.map({ stream.nextTick < $0 }) ?? true {
            earliestTick = stream.nextTick
            effects.wakesWorker = true
        }
    }

    /// Sends the progress notices that are due: to watches that got nothing since the last tick and whose stream has
    /// nothing queued, so that a consumer that does not read gathers none.
    mutating func tick(now: Duration) -> Effects {
        var effects = Effects()
        guard let earliest = earliestTick, earliest <= now else { return effects }
        earliestTick = nil
        for stream in Array(progressStreams.values) {
            if stream.nextTick <= now {
                stream.nextTick = now + tickInterval()
                notify(stream, &effects)
            }
            if progressStreams[stream.id] != nil {
                earliestTick = min(earliestTick ?? stream.nextTick, stream.nextTick)
            }
        }
        return effects
    }

    mutating func notify(_ stream: StreamState, _ effects: inout Effects) {
        let isDrained = stream.isQueueEmpty
        var wantsTicks = false
        for watch in stream.watches.values where watch.progressNotify {
            wantsTicks = true
            if watch.isIdle, isDrained, watch.phase == .synced, watch.progressFloor <= published {
                enqueue(.progress(watchID: watch.id, revision: Revision(published)), on: stream, &effects)
            }
            watch.isIdle = true
        }
        if !wantsTicks { progressStreams[stream.id] = nil }
    }
}
