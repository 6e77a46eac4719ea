import T4Protocols

/// Sends what a replica says, in order, with the entries that it names. Whoever made it say something sends that too, but for
/// entries that have to be read from disk: these are sent on a thread of its own.
final class Outbox: Sendable {
    private enum Letter: Sendable {
        case message(ReplicaMessage, to: String)
        case greeting(ReplicaMessage, address: String)
    }

    private struct State {
        var letters: [Letter] = []
        /// Somebody is sending: one at a time, so that the order stays.
        var isSending = false
        /// The first letter needs the thread.
        var needsThread = false
        var isStopping = false
    }

    private let entries: LogEntries
    private let transport: any ReplicaTransport
    private let state = Monitor(State())
    /// Bytes of entries that are sent in one message, but for a read more.
    private static let readBytes = 4 << 20

    init(_ entries: LogEntries, _ transport: any ReplicaTransport) {
        self.entries = entries
        self.transport = transport
    }

    func send(_ message: ReplicaMessage, to instance: String) { add(.message(message, to: instance)) }

    func greet(_ address: String, _ message: ReplicaMessage) { add(.greeting(message, address: address)) }

    /// Its turn comes with `sendRecent`.
    private func add(_ letter: Letter) { state.withLock { $0.letters.append(letter) } }

    /// Sends on the calling thread, without reading from disk; wakes the thread for what is left. Nothing where another thread is
    /// sending, which goes on with what was added.
    func sendRecent() {
        while let letter = takeHere() {
            if sendRecent(letter) {
                let isAwaited = state.withLock { state in
                    state.isSending = false
                    return state.isStopping
                }
                if isAwaited { state.broadcast() }
            } else {
                state.withLock { state in
                    state.letters.insert(letter, at: 0)
                    (state.isSending, state.needsThread) = (false, true)
                }
                return state.broadcast()
            }
        }
    }

    private func takeHere() -> Letter? {
        state.withLock { state in
            guard !state.isSending, !state.needsThread, !state.letters.isEmpty else { return nil }
            state.isSending = true
            return state.letters.removeFirst()
        }
    }

    /// Sends until `stop`, and what is there by then.
    func run(onFailure: (LogError) -> Void) {
        while let letter = take() {
            do throws(LogError) {
                try send(letter)
            } catch {
                onFailure(error)
            }
            state.withLock { state in
                state.isSending = false
                if state.letters.isEmpty { state.needsThread = false }
            }
            state.broadcast()
        }
    }

    func stop() {
        state.withLock { $0.isStopping = true }
        state.broadcast()
    }

    private func take() -> Letter? {
        state.wait { state in
            guard !state.isSending else { return nil }
            guard state.needsThread || state.isStopping, !state.letters.isEmpty else {
                return state.isStopping ? .some(nil) : nil
            }
            state.isSending = true
            return state.letters.removeFirst()
        }
    }

    private func send(_ letter: Letter) throws(LogError) {
        switch letter {
        case .greeting(let message, let address): transport.greet(address, message)
        case .message(let message, let instance): try send(message, instance)
        }
    }

    /// - Returns: False where entries have to be read from disk; then nothing was sent.
    private func sendRecent(_ letter: Letter) -> Bool {
        guard case .message(let message, let instance) = letter, case .append(let append) = message.body,
            append.count > 0
        else {
            if case .greeting(let message, let address) = letter { transport.greet(address, message) }
            if case .message(let message, let instance) = letter {
                transport.send(message, entries: [], to: instance)
            }
            return true
        }
        let first = append.previous.index + 1
        guard let found = entries.recent(from: first, through: append.through, maxBytes: Outbox.readBytes) else {
            return false
        }
        send(message, append, found, instance)
        return true
    }

    private func send(_ message: ReplicaMessage, _ instance: String) throws(LogError) {
        guard case .append(let append) = message.body, append.count > 0 else {
            return transport.send(message, entries: [], to: instance)
        }
        // What is left is asked for again.
        var (found, bytes): ([LogEntry], Int) = ([], 0)
        while found.count < append.count, bytes < Outbox.readBytes {
            let next = append.previous.index + 1 + UInt64(found.count)
            guard
                case .entries(let more) = try entries.entries(
                    from: next, through: append.through, maxBytes: Outbox.readBytes), !more.isEmpty
            else { break }
            found += more
            bytes += more.reduce(0) { $0 + EntryRun.size($1) }
        }
        send(message, append, found, instance)
    }

    private func send(
        _ message: ReplicaMessage, _ append: ReplicaMessage.Append, _ found: [LogEntry], _ instance: String
    ) {
        // A message of a leadership that is over: the log has become another one since.
        guard !found.isEmpty, EntryRun.terms(found) == append.entries.prefix(entries: found.count) else { return }
        var body = append
        body.entries = EntryRun.terms(found)
        var sent = message
        sent.body = .append(body)
        transport.send(sent, entries: found, to: instance)
    }
}

extension [TermRun] {
    /// The terms of the first entries.
    func prefix(entries count: Int) -> [TermRun] {
        var result: [TermRun] = []
        var left = UInt64(count)
        for run in self where left > 0 {
            result.append(TermRun(term: run.term, count: Swift.min(run.count, left)))
            left -= Swift.min(run.count, left)
        }
        return result
    }
}
