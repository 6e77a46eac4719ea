import EtcdAPI
import Foundation
import SwiftProtobuf
import Synchronization
import T4Conformance

/// Takes a lock, writes while it has it, and gives it back, or lets its lease end.
struct LockWork: Work {
    private static let seconds: Int64 = 2
    private var attempts = 0

    mutating func step(_ client: EtcdClient, by owner: FaultClient, _ random: inout SeededGenerator) async throws {
        attempts += 1
        let world = owner.world
        let holder = try await LeaseHolder.grant(LockWork.seconds, client, world)
        defer { holder.close() }
        // Renewals go on beside everything else.
        let renewals = Task {
            while !Task.isCancelled, holder.ended == nil {
                try holder.renew()
                await pause(.milliseconds(400))
            }
        }
        defer { renewals.cancel() }
        do {
            try await hold(holder, client, owner, &random)
        } catch {
            holder.ended.map { noteEnding(holder, seen: $0, world) }
            throw error
        }
        holder.ended.map { noteEnding(holder, seen: $0, world) }
    }

    private func hold(
        _ holder: LeaseHolder, _ client: EtcdClient, _ owner: FaultClient, _ random: inout SeededGenerator
    ) async throws {
        let world = owner.world
        let key = try await client.lock("\(world.prefix)lock", lease: holder.id, within: .seconds(8))
        let from = world.now
        let (row, seen) = try await client.row(String(decoding: key, as: UTF8.self))
        owner.note(seen, from: from, "Lock read")
        guard let token = row?.revision else { return noteEnding(holder, seen: world.now, world) }
        func note(until end: Duration) {
            let hold = LockHistory.Hold(
                holder: "\(owner.number)-\(attempts)", token: token, from: from, until: min(end, holder.until))
            world.tape.withLock { $0.lock.holds.append(hold) }
        }
        do {
            for number in 0..<Int.random(in: 1...4, using: &random) {
                let value = "\(token) \(owner.number)-\(attempts)-\(number)"
                guard try await write(token, key, value, client, owner) else {
                    noteEnding(holder, seen: world.now, world)
                    break
                }
                await pause(.milliseconds(Int.random(in: 0...100, using: &random)))
            }
        } catch {
            note(until: world.now)
            throw error
        }
        note(until: world.now)
        switch Int.random(in: 0..<4, using: &random) {
        case 0: break
        case 1:
            holder.giveUp()
            let request = EtcdLeaseRevokeRequest.with { $0.id = holder.id }
            _ = try await client.call("Lease/LeaseRevoke", request, EtcdLeaseRevokeResponse.self)
        default: try await client.unlock(key)
        }
    }

    /// Writes if the key of the lock is still there.
    /// - Returns: Whether it is.
    private func write(
        _ token: Int64, _ key: Data, _ value: String, _ client: EtcdClient, _ owner: FaultClient
    ) async throws -> Bool {
        let world = owner.world
        let pair = (key: "\(world.prefix)fence", value: value)
        let begin = world.now
        do {
            let (isDone, revision) = try await client.put([pair], where: [.created(token, key: key)])
            if isDone {
                world.note([pair], at: revision)
                world.tape.withLock { $0.lock.writes.append(.init(revision: revision, token: token)) }
            } else {
                world.noteRefused([value])
            }
            owner.note(revision, isWrite: isDone, from: begin, "Lock swap, done: \(isDone)")
            return isDone
        } catch {
            if FaultWorld.isRefused(error) { world.noteRefused([value]) }
            throw error
        }
    }

    /// Somebody has seen that the lease is gone, which must not be too early.
    private func noteEnding(_ holder: LeaseHolder, seen: Duration, _ world: FaultWorld) {
        let ending = LockHistory.Ending(lease: "\(holder.id)", seen: seen, earliest: holder.until)
        world.tape.withLock { $0.lock.endings.append(ending) }
    }
}
