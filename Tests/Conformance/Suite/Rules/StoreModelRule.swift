import T4Protocols

extension ObjectStoreRules {
    /// Random operations on the store and on a dictionary at once; the seed decides everything.
    public static func model(seed: UInt64) -> ObjectStoreRule {
        ObjectStoreRule("random operations match a dictionary (seed \(seed))") { subject in
            try await subject.withTwoStores { first, second in
                var run = StoreModelRun([first, second], subject.capabilities, seed: seed)
                for step in 1...200 {
                    do {
                        try await run.step(step)
                    } catch {
                        throw RuleViolation("seed \(seed), step \(step): \(error)")
                    }
                }
            }
        }
    }
}

/// One run of random operations, each through one of the clients.
private struct StoreModelRun {
    private struct Object {
        var body: [UInt8]
        var version: ObjectVersion
    }

    private let clients: [any ObjectStore]
    private let capabilities: ObjectStoreCapabilities
    private var generator: SeededGenerator
    private var model: [ObjectKey: Object] = [:]
    /// Versions that once were, and are no more.
    private var stale: [ObjectVersion] = []

    private let keys = ["a", "a/b", "a/b/c", "a.b", "a-b", "b", "b/1", "b/2", "b/3", "c/d/e/f"].map { ObjectKey($0) }

    init(_ clients: [any ObjectStore], _ capabilities: ObjectStoreCapabilities, seed: UInt64) {
        self.clients = clients
        self.capabilities = capabilities
        generator = SeededGenerator(seed: seed)
    }

    mutating func step(_ step: Int) async throws {
        let store = clients.randomElement(using: &generator)!
        let key = keys.randomElement(using: &generator)!
        switch Int.random(in: 0..<10, using: &generator) {
        case 0..<2: try await put(store, key, step, .always)
        case 2..<4 where capabilities.putsIfAbsent: try await put(store, key, step, .absent)
        case 4..<6 where capabilities.putsIfUnchanged:
            let old = Bool.random(using: &generator) ? stale.randomElement(using: &generator) : nil
            let version = old ?? model[key]?.version ?? ObjectVersion("none")
            try await put(store, key, step, .unchanged(since: version))
        case 6..<8:
            var victims = [key]
            if Bool.random(using: &generator) { victims.append(keys.randomElement(using: &generator)!) }
            try await store.delete(victims)
            for victim in victims { forget(victim) }
        case 8: try await read(store, key)
        default: try await list(store)
        }
        try await read(store, keys.randomElement(using: &generator)!)
    }

    private mutating func put(
        _ store: any ObjectStore, _ key: ObjectKey, _ step: Int, _ condition: PutCondition
    ) async throws {
        // No two bodies are equal, so that no two versions are, whatever the store makes them of.
        let body = Array("\(step) ".utf8) + pattern(Int.random(in: 0..<3000, using: &generator), seed: UInt64(step))
        let expected: ObjectStoreError.Code? =
            switch condition {
            case .always: nil
            case .absent: model[key] == nil ? nil : .alreadyExists
            case .unchanged(let version): model[key]?.version == version ? nil : .conditionFailed
            }
        if let expected {
            try await expectError(expected, "put(\(key), \(condition))") {
                try await store.put(key, body, when: condition)
            }
        } else {
            let version = try await store.put(key, body, when: condition)
            forget(key)
            model[key] = Object(body: body, version: version)
        }
    }

    private mutating func forget(_ key: ObjectKey) {
        if let object = model.removeValue(forKey: key) { stale.append(object.version) }
    }

    private mutating func read(_ store: any ObjectStore, _ key: ObjectKey) async throws {
        guard let object = model[key] else {
            return try await expectError(.notFound, "get(\(key))") { _ = try await store.get(key, bytes: nil) }
        }
        let info = ObjectInfo(key: key, size: UInt64(object.body.count), version: object.version)
        try await expectEqual(store.info(key), info, "info(\(key))")
        let lower = Int.random(in: 0...object.body.count, using: &generator)
        let upper = Int.random(in: lower...object.body.count + 100, using: &generator)
        let stored = try await store.get(key, bytes: UInt64(lower)..<UInt64(upper))
        let expected = object.body[lower..<min(upper, object.body.count)]
        try expect(stored.bytes.elementsEqual(expected), "get(\(key), \(lower)..<\(upper))")
        try expectEqual(stored.info, info, "what get(\(key)) states")
    }

    private mutating func list(_ store: any ObjectStore) async throws {
        let prefix = ["", "a", "a/", "b", "b/", "c/d", "a/b"].randomElement(using: &generator)!
        let after = Bool.random(using: &generator) ? keys.randomElement(using: &generator) : nil
        let limit = Int.random(in: 1...8, using: &generator)
        let expected = model.keys.sorted().filter { key in
            key.rawValue.utf8.starts(with: prefix.utf8) && after.map { $0 < key } != false
        }
        let page = try await store.list(prefix: ObjectKey(prefix), after: after, limit: limit)
        let what = "list of \"\(prefix)\" after \(after?.rawValue ?? "nothing"), limit \(limit)"
        try expectNames(page.objects, Array(expected.prefix(limit)), what)
        try expectEqual(page.hasMore, expected.count > limit, "\(what): hasMore")
        for info in page.objects { try expectEqual(info.version, model[info.key]?.version, "version in the \(what)") }
    }
}
