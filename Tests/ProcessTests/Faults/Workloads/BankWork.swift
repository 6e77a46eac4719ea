import Synchronization
import T4Conformance

/// Moves amounts between accounts: reads all, then puts two, if neither has changed.
struct BankWork: Work {
    static let count = 5
    private static let first = 100
    static var total: Int { count * first }
    private var attempts = 0

    /// Behind the balance of an account stands who wrote it, so that each value is another one.
    static func balance(_ value: String?) -> Int { value?.split(separator: " ").first.flatMap { Int($0) } ?? -1 }

    /// Opens the accounts.
    static func open(_ client: EtcdClient, _ prefix: String) async throws {
        _ = try await client.putAll((0..<count).map { ("\(prefix)bank/\($0)", "\(first) open-\($0)") })
    }

    mutating func step(_ client: EtcdClient, by owner: FaultClient, _ random: inout SeededGenerator) async throws {
        attempts += 1
        let world = owner.world
        let readBegin = world.now
        let state = try await client.rows("\(world.prefix)bank/")
        let rows = state.rows
        let read = BankHistory.Read(balances: rows.map { BankWork.balance($0.value) }, revision: state.revision)
        world.tape.withLock { $0.bank.reads.append(read) }
        owner.note(state.revision, from: readBegin, "Bank read")
        guard rows.count == BankWork.count, Bool.random(using: &random) else { return }

        let from = Int.random(in: 0..<rows.count, using: &random)
        let to = (from + Int.random(in: 1..<rows.count, using: &random)) % rows.count
        let amount = Int.random(in: 0...max(read.balances[from], 0), using: &random)
        let name = "\(owner.number)-\(attempts)"
        let pairs = [
            (key: rows[from].key, value: "\(read.balances[from] - amount) \(name)"),
            (key: rows[to].key, value: "\(read.balances[to] + amount) \(name)"),
        ]
        let begin = world.now
        do {
            let (isDone, revision) = try await client.put(
                pairs, where: [from, to].map { .changed(rows[$0].revision, key: rows[$0].key) })
            if isDone { world.note(pairs, at: revision) } else { world.noteRefused(pairs.map(\.value)) }
            owner.note(revision, isWrite: isDone, from: begin, "Bank swap, done: \(isDone)")
        } catch {
            if FaultWorld.isRefused(error) { world.noteRefused(pairs.map(\.value)) }
            throw error
        }
    }
}
