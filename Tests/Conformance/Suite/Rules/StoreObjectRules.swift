import T4Protocols

extension ObjectStoreRules {
    /// Single objects: what is put is what is read.
    static let objectRules = [
        ObjectStoreRule("the declared capabilities are the expected ones") { subject in
            try await subject.withStore { store in
                try expectEqual(store.capabilities, subject.capabilities, "capabilities")
            }
        },
        ObjectStoreRule("an object comes back as it was put") { subject in
            try await subject.withStore { store in
                for (key, body) in [
                    ("empty", []), ("one", [7]), ("every/byte", Array(0...255)), ("some", pattern(100_000)),
                ] as [(ObjectKey, [UInt8])] {
                    let version = try await store.put(key, body)
                    let stored = try await store.get(key, bytes: nil)
                    try expect(stored.bytes == body, "the \(body.count) bytes of \(key) came back changed")
                    let expected = ObjectInfo(key: key, size: UInt64(body.count), version: version)
                    try expectEqual(stored.info, expected, "what get states about \(key)")
                    try await expectEqual(store.info(key), expected, "info(\(key))")
                }
            }
        },
        ObjectStoreRule("an absent object is not found") { subject in
            try await subject.withStore { store in
                try await store.put("there/too", "x")
                try await store.put("gone", "x")
                try await store.delete(["gone"])
                for key in ["never", "gone", "there", "there/", "there/to", "there/too/deep"] as [ObjectKey] {
                    try await expectError(.notFound, "get(\(key))") { _ = try await store.get(key, bytes: nil) }
                    try await expectError(.notFound, "get(\(key), 0..<1)") {
                        _ = try await store.get(key, bytes: 0..<1)
                    }
                    try await expectError(.notFound, "info(\(key))") { _ = try await store.info(key) }
                }
            }
        },
        ObjectStoreRule("a put replaces the whole object and gives it a new version") { subject in
            try await subject.withStore { store in
                var versions: Set<ObjectVersion> = []
                for (count, body) in [pattern(5000), [1, 2, 3], [], [1, 2, 4], pattern(5000, seed: 2)].enumerated() {
                    let version = try await store.put("a", body)
                    try expect(versions.insert(version).inserted, "put \(count) gave the version of an earlier one")
                    try await expect(store.body("a") == body, "the body after put \(count)")
                    try await expectEqual(store.info("a").version, version, "version after put \(count)")
                }
            }
        },
        ObjectStoreRule("equal bytes put twice: the version last given is the one that counts") { subject in
            // Whether it differs from the first is the store's choice; whoever swaps puts a nonce into the body.
            try await subject.withStore { store in
                let first = try await store.put("a", "same")
                let second = try await store.put("a", "same")
                try await expectEqual(store.info("a").version, second, "version after the second put")
                try await expectEqual(store.text("a"), "same", "body")
                guard subject.capabilities.putsIfUnchanged else { return }
                let third = try await store.put("a", "same", when: .unchanged(since: second))
                let fourth = try await store.put("a", "other", when: .unchanged(since: third))
                try await expectError(.conditionFailed, "a swap of the version before the last") {
                    try await store.put("a", "late", when: .unchanged(since: third))
                }
                for stale in [first, second] where stale != fourth {
                    try await expectError(.conditionFailed, "a swap of an old version") {
                        try await store.put("a", "late", when: .unchanged(since: stale))
                    }
                }
                try await expectEqual(store.text("a"), "other", "body in the end")
            }
        },
        ObjectStoreRule("a body is put from a file") { subject in
            try await subject.withStore { store in
                for body in [[], [9], pattern(3_000_000)] {
                    try await withFile(body) { path in
                        let version = try await store.put("from/file", .file(path: path), when: .always)
                        try await expect(store.body("from/file") == body, "a body of \(body.count) bytes from a file")
                        try await expectEqual(store.info("from/file").version, version, "its version")
                    }
                }
            }
        },
        ObjectStoreRule("a body from a file that cannot be read is refused, and nothing is put") { subject in
            try await subject.withStore { store in
                try await store.put("kept", "old")
                try await withFile([]) { path in
                    for key in ["kept", "fresh"] as [ObjectKey] {
                        try await expectError(.invalidArgument, "a put from a missing file") {
                            _ = try await store.put(key, .file(path: path + "-missing"), when: .always)
                        }
                        try await expectError(.invalidArgument, "a put from a path below a file") {
                            _ = try await store.put(key, .file(path: path + "/below"), when: .always)
                        }
                    }
                }
                try await expectEqual(store.text("kept"), "old", "body of the object that was there")
                try await expectError(.notFound, "info(fresh)") { _ = try await store.info("fresh") }
            }
        },
        ObjectStoreRule("a large body is put from memory and from a file") { subject in
            try await subject.withStore { store in
                let body = pattern(subject.largeBodyBytes)
                try await store.put("large/memory", body)
                try await withFile(body) { path in
                    _ = try await store.put("large/file", .file(path: path), when: .always)
                }
                for key in ["large/memory", "large/file"] as [ObjectKey] {
                    try await expectEqual(store.info(key).size, UInt64(body.count), "size of \(key)")
                    try await expect(store.body(key) == body, "the body of \(key) came back changed")
                    let middle = body.count / 2..<body.count / 2 + 100_000
                    let part = try await store.get(key, bytes: UInt64(middle.lowerBound)..<UInt64(middle.upperBound))
                    try expect(part.bytes.elementsEqual(body[middle]), "a part of \(key) came back changed")
                }
            }
        },
        ObjectStoreRule("objects are deleted, absent ones count as deleted") { subject in
            try await subject.withStore { store in
                for key in ["a", "a/b", "a/c", "b", "c"] as [ObjectKey] { try await store.put(key, "x") }
                try await store.delete([])
                try await store.delete(["never", "a/never", "never/never"])
                try await store.delete(["a", "never", "b", "a"])
                try await expectNames(store.listAll(), ["a/b", "a/c", "c"], "after the deletes")
                try await store.delete(["a", "b"])
                try await store.put("a", "again")
                try await expectEqual(store.text("a"), "again", "body of an object put after its delete")
                try await store.delete(["a/b", "a/c", "c"])
                try await expectNames(store.listAll(), ["a"], "in the end")
            }
        },
        ObjectStoreRule("a read sees one put, whole, while others replace the object") { subject in
            try await subject.withTwoStores { writer, reader in
                let size = 200_000
                @Sendable func body(_ number: Int) -> [UInt8] {
                    [UInt8](repeating: UInt8(number), count: size - number)
                }
                try await writer.put("a", body(0))
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for task in 0..<2 {
                        group.addTask { for step in 1...20 { try await writer.put("a", body(task * 20 + step)) } }
                    }
                    for _ in 0..<4 {
                        group.addTask {
                            for _ in 0..<20 {
                                let seen = try await reader.body("a")
                                try expect(
                                    seen == body(Int(seen.first ?? 0)),
                                    "a read mixed several puts, or \(seen.count) bytes are not those of a put")
                            }
                        }
                    }
                    try await group.waitForAll()
                }
            }
        },
    ]
}
