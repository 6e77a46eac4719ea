import RPC
import T4Conformance

/// One client that writes to keys nobody else writes, and remembers what the server has acknowledged.
struct Writer: Sendable {
    /// What the server has acknowledged of a key.
    struct KeyState: Hashable, Sendable {
        /// Nil after a deletion.
        var value: String?
        var revision: Int64
        /// 0 after a deletion.
        var version: Int64
    }

    enum Operation: Hashable, Sendable {
        case put(key: String, value: String)
        /// Both keys of the pair, in one transaction, get the same value.
        case putPair(keys: [String], value: String)
        case delete(key: String)

        var keys: [String] {
            switch self {
            case .put(let key, _), .delete(let key): [key]
            case .putPair(let keys, _): keys
            }
        }

        var value: String? {
            switch self {
            case .put(_, let value), .putPair(_, let value): value
            case .delete: nil
            }
        }
    }

    let number: Int
    var acknowledged: [String: KeyState] = [:]
    /// The write whose answer did not come: it may have taken effect or not.
    var uncertain: Operation?
    /// What the server answered that it must never answer.
    var violations: [String] = []
    private var revision: Int64 = 0
    private var sequence = 0
    private var generator: SeededGenerator

    init(number: Int, seed: UInt64) {
        self.number = number
        generator = SeededGenerator(seed: seed &+ UInt64(number))
    }

    var pair: [String] { ["pair/\(number)/a", "pair/\(number)/b"] }

    /// Writes until the server no longer answers.
    mutating func run(_ client: EtcdClient, acknowledgements: Observed<Int>) async {
        while true {
            let operation = next()
            uncertain = operation
            do {
                let revision = try await perform(operation, client)
                uncertain = nil
                if revision <= self.revision {
                    violations.append("writer \(number): revision \(revision) after \(self.revision) for \(operation)")
                }
                note(operation, at: revision)
                acknowledgements.update { $0 += 1 }
            } catch let status as RPCStatus {
                if status.code != .unavailable { violations.append("writer \(number): \(operation): \(status)") }
                return
            } catch {
                violations.append("writer \(number): \(operation): \(error)")
                return
            }
        }
    }

    /// Takes over that an operation has taken effect at `revision`.
    mutating func note(_ operation: Operation, at revision: Int64) {
        self.revision = max(self.revision, revision)
        for key in operation.keys {
            let version = operation.value == nil ? 0 : (acknowledged[key]?.version ?? 0) + 1
            acknowledged[key] = KeyState(value: operation.value, revision: revision, version: version)
        }
    }

    private mutating func next() -> Operation {
        sequence += 1
        // Values are never repeated and differ in length, so that frames end at every kind of offset.
        let padding = String(repeating: "x", count: Int.random(in: 0...200, using: &generator))
        let value = "\(number)-\(sequence)-\(padding)"
        let key = "key/\(number)/\(Int.random(in: 0..<8, using: &generator))"
        switch Int.random(in: 0..<10, using: &generator) {
        case 0 where acknowledged[key]?.value != nil: return .delete(key: key)
        case 1...3: return .putPair(keys: pair, value: value)
        default: return .put(key: key, value: value)
        }
    }

    private func perform(_ operation: Operation, _ client: EtcdClient) async throws -> Int64 {
        switch operation {
        case .put(let key, let value): try await client.put(key, value)
        case .putPair(let keys, let value): try await client.putAll(keys.map { (key: $0, value: value) })
        case .delete(let key): try await client.delete(key)
        }
    }
}

/// Many writers on several connections at once.
struct Load: Sendable {
    var writers: [Writer]

    init(writers count: Int, seed: UInt64) {
        writers = (0..<count).map { Writer(number: $0, seed: seed) }
    }

    /// Highest revision that any acknowledgement named.
    var revisionMax: Int64 { writers.flatMap(\.acknowledged.values).map(\.revision).max() ?? 1 }

    /// Runs all writers; calls `end` when `count` writes have been acknowledged and returns when all have stopped,
    /// which they do once `end` has taken the server away; an error of `end` takes it away, too.
    /// - Parameter acknowledgements: Counts them, from 0 on.
    mutating func run(
        on server: ServerUnderTest, until count: Int, connections: Int = 4,
        acknowledgements: Observed<Int> = Observed(0),
        end: @Sendable () async throws -> Void,
    ) async throws {
        var clients: [EtcdClient] = []
        for _ in 0..<connections { clients.append(try await EtcdClient.connect(to: server)) }
        let started = writers
        writers = try await withThrowingTaskGroup(of: Writer.self) { [clients] group in
            for writer in started {
                group.addTask {
                    var writer = writer
                    await writer.run(clients[writer.number % clients.count], acknowledgements: acknowledgements)
                    return writer
                }
            }
            do {
                _ = try await acknowledgements.wait(for: "\(count) acknowledgements") { $0 >= count ? true : nil }
                try await end()
            } catch {
                await server.crash()
                throw error
            }
            var ended: [Writer] = []
            for try await writer in group { ended.append(writer) }
            return ended.sorted { $0.number < $1.number }
        }
        for client in clients { await client.close() }
    }
}
