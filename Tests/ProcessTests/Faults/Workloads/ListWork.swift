import Synchronization
import T4Conformance

/// Appends to lists, each the value of one key, by swaps of the whole value.
struct ListWork: Work {
    private static let count = 2
    private var attempts = 0

    static func elements(_ value: String?) -> [String] { value?.split(separator: " ").map(String.init) ?? [] }

    mutating func step(_ client: EtcdClient, by owner: FaultClient, _ random: inout SeededGenerator) async throws {
        attempts += 1
        let world = owner.world
        let key = "\(world.prefix)list/\(Int.random(in: 0..<ListWork.count, using: &random))"
        let readBegin = world.now
        let (row, seen) = try await client.row(key)
        let elements = ListWork.elements(row?.value)
        let read = ListHistory.Read(elements: elements, begin: readBegin, end: world.now)
        world.tape.withLock { $0.lists[key, default: ListHistory()].reads.append(read) }
        owner.note(seen, from: readBegin, "List read")
        guard Bool.random(using: &random) else { return }

        let element = "\(owner.number)-\(attempts)"
        let value = (elements + [element]).joined(separator: " ")
        let begin = world.now
        func note(_ outcome: ListHistory.Outcome) {
            let append = ListHistory.Append(element: element, outcome: outcome, begin: begin, end: world.now)
            world.tape.withLock { $0.lists[key, default: ListHistory()].appends.append(append) }
            if outcome == .refused { world.noteRefused([value]) }
        }
        do {
            let (isDone, revision) = try await client.put(
                [(key, value)], where: [.changed(row?.revision ?? 0, key: key)])
            note(isDone ? .done : .refused)
            if isDone { world.note([(key, value)], at: revision) }
            owner.note(revision, isWrite: isDone, from: begin, "List swap, done: \(isDone)")
        } catch {
            note(FaultWorld.isRefused(error) ? .refused : .unknown)
            throw error
        }
    }
}
