package import T4Protocols

/// Finds out whether a store keeps the conditions of puts (Rule S2): many accept them and ignore them, or look first and
/// write afterwards.
package struct ConditionalPutProbe: Sendable {
    /// One thing that was tried.
    package enum Step: String, Sendable, CaseIterable, CustomStringConvertible {
        case capabilities = "the store declares conditional puts"
        case create = "a put if absent creates an object"
        case createAgain = "a second put if absent is refused"
        case replace = "a put with the right version replaces"
        case replaceStale = "a put with an old version is refused"
        case replaceForeign = "a put with a version of another object is refused"
        case replaceAbsent = "a put with a version of an absent object is refused"
        case parallelCreates = "of 16 puts if absent at once exactly one wins"

        package var description: String { rawValue }
    }

    /// What was found.
    package enum Verdict: Hashable, Sendable, CustomStringConvertible {
        /// The store did as it should, this time; conditions can be relied on as far as a probe can tell.
        case reliable
        /// Conditions cannot be relied on.
        case unreliable(Step, seen: String)

        package var description: String {
            switch self {
            case .reliable: "conditional puts work"
            case .unreliable(let step, let seen): "conditional puts cannot be relied on: \(step), but \(seen)"
            }
        }
    }

    private let store: any ObjectStore
    private let prefix: String

    /// Runs all steps, up to the first that fails, and removes what they made.
    /// - Parameters:
    ///   - prefix: Where the probe's objects go; no other object may begin with it.
    ///   - nonce: Part of their names, so that probes of several nodes do not meet.
    /// - Throws: Whatever kept the store from answering; nothing is known then.
    package static func run(
        on store: any ObjectStore, prefix: String = "probe/",
        nonce: String = String(UInt64.random(in: 0...(.max)), radix: 16)
    ) async throws(ObjectStoreError) -> Verdict {
        let probe = ConditionalPutProbe(store: store, prefix: "\(prefix)\(nonce)/")
        let verdict: Verdict
        do throws(ObjectStoreError) {
            verdict = try await probe.verdict()
        } catch {
            // The first error says more than one of the cleaning would.
            do throws(ObjectStoreError) { try await probe.removeObjects() } catch {}
            throw error
        }
        try await probe.removeObjects()
        return verdict
    }

    private func key(_ name: String) -> ObjectKey { ObjectKey(prefix + name) }

    private func removeObjects() async throws(ObjectStoreError) {
        try await store.delete(["one", "other", "absent", "parallel"].map(key))
    }

    private func verdict() async throws(ObjectStoreError) -> Verdict {
        guard store.capabilities.putsIfAbsent, store.capabilities.putsIfUnchanged else {
            return .unreliable(.capabilities, seen: "it declares \(store.capabilities)")
        }
        guard case .won(let first) = try await put("one", "created", .absent) else {
            return .unreliable(.create, seen: "it was refused although nothing was there")
        }
        if case .won = try await put("one", "created again", .absent) {
            return .unreliable(.createAgain, seen: "it was accepted")
        }
        guard case .won(let second) = try await put("one", "replaced", .unchanged(since: first)) else {
            return .unreliable(.replace, seen: "it was refused")
        }
        if case .won = try await put("one", "replaced again", .unchanged(since: first)) {
            return .unreliable(.replaceStale, seen: "it was accepted")
        }
        let other = try await store.put(key("other"), .bytes(Array("another".utf8)), when: .always)
        if case .won = try await put("one", "mixed up", .unchanged(since: other)) {
            return .unreliable(.replaceForeign, seen: "it was accepted")
        }
        if case .won = try await put("absent", "created", .unchanged(since: second)) {
            return .unreliable(.replaceAbsent, seen: "it was accepted")
        }
        let body = try await store.get(key("one"), bytes: nil).bytes
        guard body == Array("replaced".utf8) else {
            return .unreliable(.replaceStale, seen: "a put that was refused changed the object all the same")
        }
        return try await parallelCreates()
    }

    private func parallelCreates() async throws(ObjectStoreError) -> Verdict {
        let outcomes = await withTaskGroup(of: (Int, Result<Outcome, ObjectStoreError>).self) { group in
            for number in 0..<16 {
                group.addTask {
                    do throws(ObjectStoreError) {
                        return (number, .success(try await put("parallel", "writer \(number)", .absent)))
                    } catch {
                        return (number, .failure(error))
                    }
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        var winners: [Int] = []
        for (number, outcome) in outcomes {
            if case .won = try outcome.get() { winners.append(number) }
        }
        guard winners.count == 1 else {
            return .unreliable(.parallelCreates, seen: "\(winners.count) were told that they won")
        }
        let body = String(decoding: try await store.get(key("parallel"), bytes: nil).bytes, as: UTF8.self)
        guard body == "writer \(winners[0])" else {
            return .unreliable(.parallelCreates, seen: "writer \(winners[0]) was told so and \(body) is in the store")
        }
        return .reliable
    }

    private enum Outcome: Sendable {
        case won(ObjectVersion)
        case lost
    }

    /// Puts a body that no other put has; where the outcome is unknown the body tells it.
    private func put(
        _ name: String, _ body: String, _ condition: PutCondition
    ) async throws(ObjectStoreError) -> Outcome {
        do throws(ObjectStoreError) {
            return .won(try await store.put(key(name), .bytes(Array(body.utf8)), when: condition))
        } catch {
            switch error.code {
            case .alreadyExists, .conditionFailed: return .lost
            case .outcomeUnknown:
                let stored: StoredBytes
                do throws(ObjectStoreError) {
                    stored = try await store.get(key(name), bytes: nil)
                } catch let readError {
                    // Nothing is there yet, so the put may still come.
                    throw readError.code == .notFound ? error : readError
                }
                if stored.bytes == Array(body.utf8) { return .won(stored.info.version) }
                // Another body settles a create; a swap of the version that is still there may yet come.
                if condition == .absent { return .lost }
                throw error
            default: throw error
            }
        }
    }
}
