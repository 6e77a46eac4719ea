import T4Protocols

extension ObjectStoreRules {
    /// Conditional puts of several writers at once, through two clients.
    static let raceRules = [
        ObjectStoreRule("of 16 creates at once exactly one wins") { subject in
            guard subject.capabilities.putsIfAbsent else { return }
            try await subject.withTwoStores { first, second in
                for round in 0..<8 {
                    let key = ObjectKey("race/\(round)")
                    try await expectOneWinner(key, 16, first, second, round: round, when: .absent, lost: .alreadyExists)
                }
            }
        },
        ObjectStoreRule("of 16 swaps of one version exactly one wins") { subject in
            guard subject.capabilities.putsIfUnchanged else { return }
            try await subject.withTwoStores { first, second in
                var version = try await first.put("race", "start")
                for round in 0..<8 {
                    try await expectOneWinner(
                        "race", 16, first, second, round: round, when: .unchanged(since: version),
                        lost: .conditionFailed)
                    version = try await second.info("race").version
                }
            }
        },
        ObjectStoreRule("a counter that several writers raise by swaps loses no step") { subject in
            guard subject.capabilities.putsIfUnchanged else { return }
            try await subject.withTwoStores { first, second in
                try await first.put("counter", "start")
                let writers = 6
                let steps = 10
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for writer in 0..<writers {
                        group.addTask {
                            let store = writer.isMultiple(of: 2) ? first : second
                            for step in 0..<steps { try await add("\(writer).\(step)", to: "counter", in: store) }
                        }
                    }
                    try await group.waitForAll()
                }
                let found = try await second.text("counter").split(separator: " ").map(String.init)
                try expectEqual(found.count, writers * steps + 1, "entries in the end")
                try expectEqual(Set(found).count, found.count, "different entries in the end")
            }
        },
        ObjectStoreRule("creates and deletes at once: a create wins only where nothing is") { subject in
            guard subject.capabilities.putsIfAbsent else { return }
            try await subject.withTwoStores { first, second in
                // Each winner deletes what it made, so two winners at one time would meet.
                let holders = Counter()
                try await withThrowingTaskGroup(of: Int.self) { group in
                    for writer in 0..<8 {
                        group.addTask {
                            let store = writer.isMultiple(of: 2) ? first : second
                            var wins = 0
                            for step in 0..<15 {
                                let nonce = "\(writer).\(step)"
                                guard
                                    try await attempt("held", nonce, nonce: nonce, store, .absent, .alreadyExists)
                                else { continue }
                                wins += 1
                                let count = await holders.enter()
                                try expect(count == 1, "\(count) writers hold what only one can have created")
                                await holders.leave()
                                try await store.delete(["held"])
                            }
                            return wins
                        }
                    }
                    let wins = try await group.reduce(0, +)
                    try expect(wins > 0, "no create won")
                }
            }
        },
    ]

    private static func expectOneWinner(
        _ key: ObjectKey, _ count: Int, _ first: any ObjectStore, _ second: any ObjectStore,
        round: Int, when condition: PutCondition, lost: ObjectStoreError.Code
    ) async throws {
        let winners = try await withThrowingTaskGroup(of: (Int, Bool).self) { group in
            for writer in 0..<count {
                group.addTask {
                    let store = writer.isMultiple(of: 2) ? first : second
                    // Of this round too: versions may be hashes of bodies, and a body that comes again has its version again.
                    let nonce = "\(key):\(round):\(writer)"
                    return (writer, try await attempt(key, nonce, nonce: nonce, store, condition, lost))
                }
            }
            return try await group.reduce(into: []) { winners, result in if result.1 { winners.append(result.0) } }
        }
        try expectEqual(winners.count, 1, "winners among \(count) writers of \(key)")
        for store in [first, second] {
            try await expectEqual(
                store.text(key), "\(key):\(round):\(winners[0])", "body, by the name of the only winner")
        }
    }

    /// One conditional put of a body with a nonce of its own, settled by reading back where its outcome is unknown.
    /// - Returns: Whether it won.
    private static func attempt(
        _ key: ObjectKey, _ body: String, nonce: String, _ store: any ObjectStore, _ condition: PutCondition,
        _ lost: ObjectStoreError.Code
    ) async throws -> Bool {
        var isUnsure = false
        // A store may ask several times for patience, but not for ever.
        for _ in 0..<100 {
            do throws(ObjectStoreError) {
                try await store.put(key, body, when: condition)
                return true
            } catch {
                switch error.code {
                case lost: return isUnsure ? try await isIn(key, nonce, store) : false
                case .unavailable: continue
                case .outcomeUnknown:
                    isUnsure = true
                    if try await isIn(key, nonce, store) { return true }
                default: throw error
                }
            }
        }
        throw RuleViolation("a conditional put of \(key) was neither won nor lost in 100 attempts")
    }

    private static func isIn(_ key: ObjectKey, _ nonce: String, _ store: any ObjectStore) async throws -> Bool {
        do throws(ObjectStoreError) {
            let body = try await store.get(key, bytes: nil).bytes
            return String(decoding: body, as: UTF8.self).split(separator: " ").contains { $0 == nonce }
        } catch {
            if error.code == .notFound { return false }
            throw error
        }
    }

    /// Adds a nonce to the list in the object.
    private static func add(_ nonce: String, to key: ObjectKey, in store: any ObjectStore) async throws {
        for _ in 0..<1000 {
            let stored = try await store.get(key, bytes: nil)
            let body = String(decoding: stored.bytes, as: UTF8.self) + " " + nonce
            let condition = PutCondition.unchanged(since: stored.info.version)
            if try await attempt(key, body, nonce: nonce, store, condition, .conditionFailed) { return }
        }
        throw RuleViolation("1000 swaps of \(key) were all lost")
    }
}

/// Counts who is inside.
private actor Counter {
    private var count = 0

    func enter() -> Int {
        count += 1
        return count
    }

    func leave() { count -= 1 }
}
