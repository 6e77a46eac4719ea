import Synchronization
import T4Conformance

/// Reads, writes and swaps of a few keys.
struct RegisterWork: Work {
    private static let count = 3
    private var attempts = 0

    mutating func step(_ client: EtcdClient, by owner: FaultClient, _ random: inout SeededGenerator) async throws {
        attempts += 1
        let world = owner.world
        let key = "\(world.prefix)register/\(Int.random(in: 0..<RegisterWork.count, using: &random))"
        let value = "\(owner.number)-\(attempts)"
        func note(_ operation: RegisterHistory.Operation, _ begin: Duration, isKnown: Bool = true) {
            let end = isKnown ? world.now : nil
            world.tape.withLock {
                $0.registers[key, default: RegisterHistory()].entries.append(
                    .init(operation: operation, begin: begin, end: end))
            }
        }
        let begin = world.now
        switch Int.random(in: 0..<4, using: &random) {
        case 0:
            do {
                let revision = try await client.put(key, value)
                note(.write(value), begin)
                world.note([(key, value)], at: revision)
                owner.note(revision, isWrite: true, from: begin, "Register put")
            } catch {
                if FaultWorld.isRefused(error) {
                    world.noteRefused([value])
                } else {
                    note(.write(value), begin, isKnown: false)
                }
                throw error
            }
        case 1:
            let (row, seen) = try await client.row(key)
            note(.read(row?.value), begin)
            owner.note(seen, from: begin, "Register read")
            let begin = world.now
            do {
                let (isDone, revision) = try await client.swap(key, row?.value, value)
                note(.swap(old: row?.value, new: value, isDone: isDone), begin)
                if isDone { world.note([(key, value)], at: revision) } else { world.noteRefused([value]) }
                owner.note(revision, isWrite: isDone, from: begin, "Register swap, done: \(isDone)")
            } catch {
                if FaultWorld.isRefused(error) {
                    world.noteRefused([value])
                } else {
                    note(.swap(old: row?.value, new: value, isDone: nil), begin, isKnown: false)
                }
                throw error
            }
        default:
            let (row, seen) = try await client.row(key)
            note(.read(row?.value), begin)
            owner.note(seen, from: begin, "Register read")
        }
    }
}
