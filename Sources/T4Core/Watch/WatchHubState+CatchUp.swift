// Watches that are behind: which of them the worker serves next, and what becomes of them then.

extension WatchHubState {
    var hasReady: Bool { !ready.isEmpty }

    /// When the worker has something to do again, if nobody wakes it before.
    func nextDeadline(after now: Duration) -> Duration? {
        guard hasReady, readsAgainAt > now else { return earliestTick }
        return min(readsAgainAt, earliestTick ?? readsAgainAt)
    }

    /// Chooses lagging watches that lie close together, and where to read for them.
    /// - Parameter mayRead: Also watches whose history is no longer in the ring.
    /// - Returns: Nil when no such watch waits.
    mutating func beginReplay(_ effects: inout Effects, mayRead: Bool) -> Replay? {
        var members: [Watch] = []
        // One look at each waiting watch at most; those not taken go to the end in their order.
        for _ in 0..<min(ready.count, Replay.candidatesMax) {
            guard let watch = ready.popFirst() else { break }
            guard watch.phase == .ready else { continue }
            if watch.next < compacted {
                endCompacted(watch, &effects)
                continue
            }
            let isNear =
                members.first.map { (0...Replay.distanceMax).contains(watch.next - $0.next) }
                ?? (mayRead || watch.next >= ring.completeFrom)
            if isNear, members.count < Replay.membersMax {
                members.append(watch)
            } else {
                ready.append(watch)
            }
        }
        guard let first = members.first else { return nil }
        for watch in members { watch.phase = .replaying }
        var replay = Replay(
            members: members.map {
                Replay.Member(token: $0.token, filter: $0.filter, previous: $0.previous, next: $0.next)
            },
            first: first.next, last: published, compacted: compacted,
            byteLimit: settings.replayBytesMax)
        if first.next >= ring.completeFrom {
            replay.supply(ring.slice(from: first.next, byteLimit: settings.replayBytesMax))
        } else {
            replay.last = min(published, max(first.next, ring.completeFrom - 1))
        }
        return replay
    }

    /// Queues what was read for the watches and lets those that have caught up join.
    mutating func finishReplay(_ found: Replay.Found) -> Effects {
        var effects = Effects()
        for member in found.members {
            guard let watch = lagging[member.token], watch.phase == .replaying else { continue }
            if let shared = member.events {
                guard hasRoom(watch.stream) else {
                    park(watch)
                    continue
                }
                send(shared, through: found.through, to: watch, &effects)
            }
            watch.next = max(watch.next, found.through + 1)
            if watch.next > published {
                lagging[watch.token] = nil
                watch.stream.lagging -= 1
                watch.phase = .synced
                index.insert(watch)
                answerProgress(watch.stream, &effects)
            } else {
                park(watch)
            }
        }
        return effects
    }

    /// Ends what cannot be read. A compaction ends only the watches that need what was compacted.
    mutating func failReplay(
        _ replay: Replay, _ error: DatabaseError, visibleCompacted: Int64
    ) -> Effects {
        var effects = Effects()
        compacted = max(compacted, visibleCompacted)
        let isCompaction = error.code == .compacted && replay.first < compacted
        for member in replay.members {
            guard let watch = lagging[member.token], watch.phase == .replaying else { continue }
            if watch.next < compacted {
                endCompacted(watch, &effects)
            } else if isCompaction {
                park(watch)
            } else {
                end(watch, .failed(error), revision: published, &effects)
            }
        }
        return effects
    }

    /// Puts a watch that is still behind where it goes on from: to the worker, or to wait for room.
    mutating func park(_ watch: Watch) {
        if hasRoom(watch.stream) {
            makeReady(watch)
        } else {
            watch.phase = .blocked
            watch.stream.blocked.append(watch)
        }
    }
}
