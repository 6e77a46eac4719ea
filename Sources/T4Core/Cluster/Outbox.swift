import T4Protocols

/// Sends what a replica says, in order, with the entries that it names: on a thread of its own, for they may have to be read
/// from disk.
final class Outbox: Sendable {
    private enum Letter: Sendable {
        case message(ReplicaMessage, to: String)
        case greeting(ReplicaMessage, address: String)
    }

    private struct State {
        var letters: [Letter] = []
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

    private func add(_ letter: Letter) {
        state.withLock { $0.letters.append(letter) }
        state.signal()
    }

    /// Sends until `stop`, and what is there by then.
    func run(onFailure: (LogError) -> Void) {
        while let letters = take() {
            for letter in letters {
                switch letter {
                case .greeting(let message, let address): transport.greet(address, message)
                case .message(let message, let instance):
                    do throws(LogError) {
                        try send(message, instance)
                    } catch {
                        onFailure(error)
                    }
                }
            }
        }
    }

    func stop() {
        state.withLock { $0.isStopping = true }
        state.signal()
    }

    private func take() -> [Letter]? {
        state.wait { state in
            if state.letters.isEmpty { return state.isStopping ? .some(nil) : nil }
            defer { state.letters = [] }
            return state.letters
        }
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
