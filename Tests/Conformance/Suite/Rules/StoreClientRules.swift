import T4Protocols

extension ObjectStoreRules {
    /// Clients: several, closed, opened again, cancelled.
    static let clientRules = [
        ObjectStoreRule("a closed store refuses every call, and closing twice is fine") { subject in
            try await subject.withStorage { storage in
                let store = try await storage.open()
                try await store.put("a", "x")
                await store.close()
                await store.close()
                try await expectError(.closed, "get") { _ = try await store.get("a", bytes: nil) }
                try await expectError(.closed, "info") { _ = try await store.info("a") }
                try await expectError(.closed, "put") { try await store.put("a", "y") }
                try await expectError(.closed, "list") { _ = try await store.list(prefix: "", after: nil, limit: 1) }
                try await expectError(.closed, "delete") { try await store.delete(["a"]) }
            }
        },
        ObjectStoreRule("what was put is there for a client that opens later") { subject in
            try await subject.withStorage { storage in
                var version = ObjectVersion("")
                try await storage.withClient { store in
                    version = try await store.put("a/b", pattern(10_000))
                    try await store.put("a", "short")
                    try await store.put("gone", "x")
                    try await store.delete(["gone"])
                }
                try await storage.withClient { store in
                    try await expect(store.body("a/b") == pattern(10_000), "the body for the later client")
                    try await expectEqual(store.info("a/b").version, version, "version for the later client")
                    try await expectNames(store.listAll(), ["a", "a/b"], "for the later client")
                    guard subject.capabilities.putsIfUnchanged else { return }
                    try await store.put("a/b", "new", when: .unchanged(since: version))
                }
            }
        },
        ObjectStoreRule("a client that is closed leaves the others working") { subject in
            try await subject.withStorage { storage in
                let first = try await storage.open()
                try await storage.withClient { second in
                    try await first.put("a", "1")
                    await first.close()
                    try await expectEqual(second.text("a"), "1", "body for the client that is left")
                    try await second.put("b", "2")
                    try await expectNames(second.listAll(), ["a", "b"], "for the client that is left")
                }
            }
        },
        ObjectStoreRule("what began before a close ends well or is refused whole") { subject in
            try await subject.withStorage { storage in
                let store = try await storage.open()
                let done = try await withThrowingTaskGroup(of: ObjectKey?.self) { group in
                    for number in 0..<40 {
                        group.addTask {
                            let key = ObjectKey("close/\(number)")
                            do throws(ObjectStoreError) {
                                try await store.put(key, key.rawValue)
                                return key
                            } catch {
                                if error.code == .closed || error.code == .outcomeUnknown { return nil }
                                throw error
                            }
                        }
                    }
                    _ = try await group.next()
                    await store.close()
                    return try await group.reduce(into: []) { $0 += $1.map { [$0] } ?? [] }
                }
                try await storage.withClient { store in
                    for key in done { try await expectEqual(store.text(key), key.rawValue, "body of \(key)") }
                    for info in try await store.listAll() {
                        try await expectEqual(store.text(info.key), info.key.rawValue, "body of \(info.key)")
                    }
                }
            }
        },
        ObjectStoreRule("cancelled callers leave whole objects and a working store") { subject in
            try await subject.withStore { store in
                let body = pattern(300_000)
                await withTaskGroup(of: Void.self) { group in
                    for number in 0..<20 {
                        group.addTask {
                            do {
                                try await store.put(ObjectKey("cancelled/\(number)"), body)
                            } catch {
                                // Done or not: both are right for a caller that no longer waits.
                            }
                        }
                    }
                    group.cancelAll()
                }
                for info in try await store.listAll("cancelled/") {
                    try await expect(store.body(info.key) == body, "\(info.key) is not whole")
                }
                try await store.put("after", "x")
                try await expectEqual(store.text("after"), "x", "body of a put after the cancelled ones")
            }
        },
    ]
}
