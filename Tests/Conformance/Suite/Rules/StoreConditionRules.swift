import T4Protocols

extension ObjectStoreRules {
    /// Conditional puts, one after the other.
    static let conditionRules = [
        ObjectStoreRule("a put if absent creates once and never replaces") { subject in
            guard subject.capabilities.putsIfAbsent else { return }
            try await subject.withTwoStores { store, other in
                try await store.put("a/beside", "x")
                let version = try await store.put("a", "first", when: .absent)
                for client in [store, other] {
                    try await expectError(.alreadyExists, "a second create") {
                        try await client.put("a", "second", when: .absent)
                    }
                    try await expectError(.alreadyExists, "a create with equal bytes") {
                        try await client.put("a", "first", when: .absent)
                    }
                }
                try await expectEqual(store.text("a"), "first", "body after the refused creates")
                try await expectEqual(other.info("a").version, version, "version after the refused creates")
                try await other.delete(["a"])
                try await store.put("a", "third", when: .absent)
                try await expectEqual(other.text("a"), "third", "body of the create after a delete")
            }
        },
        ObjectStoreRule("a put if unchanged replaces that version only") { subject in
            guard subject.capabilities.putsIfUnchanged else { return }
            try await subject.withTwoStores { store, other in
                let first = try await store.put("a", "first")
                let foreign = try await store.put("b", "body of another object")
                let second = try await other.put("a", "second", when: .unchanged(since: first))
                try expect(first != second, "the swap gave the version that it replaced")
                for (stale, what) in [
                    (first, "a stale version"), (foreign, "the version of another object"),
                    (ObjectVersion("no-version-of-this-store"), "a made-up version"),
                ] {
                    try await expectError(.conditionFailed, "a swap of \(what)") {
                        try await store.put("a", "lost", when: .unchanged(since: stale))
                    }
                }
                try await expectEqual(store.text("a"), "second", "body after the refused swaps")
                try await expectEqual(store.info("a").version, second, "version after the refused swaps")
                let third = try await store.put("a", "third")
                try await expectError(.conditionFailed, "a swap of the version before an unconditional put") {
                    try await other.put("a", "lost", when: .unchanged(since: second))
                }
                try await other.put("a", "fourth", when: .unchanged(since: third))
                try await expectEqual(store.text("a"), "fourth", "body in the end")
            }
        },
        ObjectStoreRule("a put if unchanged never creates") { subject in
            guard subject.capabilities.putsIfUnchanged else { return }
            try await subject.withStore { store in
                let version = try await store.put("a", "x")
                try await store.delete(["a"])
                for key in ["a", "never"] as [ObjectKey] {
                    try await expectError(.conditionFailed, "a swap of the absent \(key)") {
                        try await store.put(key, "y", when: .unchanged(since: version))
                    }
                    try await expectError(.notFound, "info(\(key))") { _ = try await store.info(key) }
                }
            }
        },
        ObjectStoreRule("versions that list, info and get give can be swapped") { subject in
            guard subject.capabilities.putsIfUnchanged else { return }
            try await subject.withStore { store in
                try await store.put("a", "0")
                let listed = try await store.listAll("a")
                try expectEqual(listed.count, 1, "objects in the list")
                try await store.put("a", "1", when: .unchanged(since: listed[0].version))
                try await store.put("a", "2", when: .unchanged(since: store.info("a").version))
                try await store.put("a", "3", when: .unchanged(since: store.get("a", bytes: nil).info.version))
                try await store.put("a", "4", when: .unchanged(since: store.get("a", bytes: 0..<1).info.version))
                try await expectEqual(store.text("a"), "4", "body in the end")
            }
        },
        ObjectStoreRule("conditions hold for large bodies and bodies from files") { subject in
            guard subject.capabilities.putsIfAbsent, subject.capabilities.putsIfUnchanged else { return }
            try await subject.withStore { store in
                let body = pattern(subject.largeBodyBytes, seed: 3)
                try await withFile(body) { path in
                    let first = try await store.put("file", .file(path: path), when: .absent)
                    try await expectError(.alreadyExists, "a second create from a file") {
                        _ = try await store.put("file", .file(path: path), when: .absent)
                    }
                    let second = try await store.put("file", "short", when: .unchanged(since: first))
                    try await expectError(.conditionFailed, "a stale swap from a file") {
                        _ = try await store.put("file", .file(path: path), when: .unchanged(since: first))
                    }
                    try await expectEqual(store.text("file"), "short", "body after the refused swap")
                    _ = try await store.put("file", .file(path: path), when: .unchanged(since: second))
                    try await expect(store.body("file") == body, "the body of the swap from a file")
                }
                try await store.put("memory", body, when: .absent)
                try await expectError(.alreadyExists, "a second create") {
                    try await store.put("memory", body, when: .absent)
                }
            }
        },
        ObjectStoreRule("a condition that the store cannot keep is refused and puts nothing") { subject in
            try await subject.withStore { store in
                let version = try await store.put("a", "old")
                if !subject.capabilities.putsIfAbsent {
                    try await expectError(.unsupported, "a put if absent") {
                        try await store.put("new", "x", when: .absent)
                    }
                    try await expectError(.notFound, "info(new)") { _ = try await store.info("new") }
                }
                if !subject.capabilities.putsIfUnchanged {
                    try await expectError(.unsupported, "a put if unchanged") {
                        try await store.put("a", "new", when: .unchanged(since: version))
                    }
                    try await expectEqual(store.text("a"), "old", "body after the refused swap")
                }
            }
        },
    ]
}
