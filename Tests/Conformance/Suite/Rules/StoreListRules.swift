import T4Protocols

extension ObjectStoreRules {
    /// Names in order.
    static let listRules = [
        ObjectStoreRule("a list is in byte order and holds what begins with the prefix, slash or no slash") { subject in
            try await subject.withStore { store in
                let keys = [
                    "a", "a-1", "a.b", "a/", "a/b", "a/b/c", "a/c", "a0", "ab", "b/a", "b/a/b", "b/a0", "foo", "foo-1",
                    "foo.bar/y", "foo/x", "foo0", "wal/0001", "wal/0002", "x/y/z/deep/1", "x/y/z/deep/2",
                ].filter { $0 != "a/" }.map { ObjectKey($0) }.sorted()
                try await store.putEach(keys.reversed())
                let prefixes = [
                    "", "a", "a-", "a/", "a/b", "a/b/", "a/b/c", "a/b/c/", "b", "b/a", "b/a/", "f", "fo", "foo", "foo/",
                    "foo.", "foo.bar", "w", "wal", "wal/", "wal/0", "wal/0002", "wal/0003", "x/y", "x/y/z/d", "z", "/",
                ]
                for prefix in prefixes {
                    let expected = keys.filter { $0.rawValue.utf8.starts(with: prefix.utf8) }
                    for pageSize in [1000, 2, 1] {
                        try await expectNames(
                            store.listAll(ObjectKey(prefix), pageSize: pageSize), expected,
                            "prefix \"\(prefix)\" in pages of \(pageSize)")
                    }
                }
            }
        },
        ObjectStoreRule("a list states size and version as info does") { subject in
            try await subject.withStore { store in
                for (count, key) in ["a", "a/b", "a/b/c", "d"].enumerated() {
                    try await store.put(ObjectKey(key), pattern(count * 700))
                    try await store.put("d", pattern(count))
                }
                let listed = try await store.listAll()
                try expectEqual(listed.count, 4, "objects in the list")
                for info in listed { try await expectEqual(info, store.info(info.key), "what the list states") }
            }
        },
        ObjectStoreRule("a list sees every finished put and delete, of other clients too") { subject in
            try await subject.withTwoStores { first, second in
                var keys: [ObjectKey] = []
                for number in 0..<30 {
                    let key = ObjectKey("list/\(number % 3)/\(100 - number)")
                    keys.append(key)
                    try await first.put(key, "x")
                    for store in [second, first] {
                        try await expectNames(store.listAll("list/"), keys.sorted(), "after put \(number)")
                    }
                }
                while let key = keys.popLast() {
                    try await second.delete([key])
                    for store in [first, second] {
                        try await expectNames(store.listAll("list/"), keys.sorted(), "after the delete of \(key)")
                    }
                }
            }
        },
        ObjectStoreRule("a list is empty where nothing is, and where all was deleted") { subject in
            try await subject.withStore { store in
                for prefix in ["", "a", "a/", "a/b"] as [ObjectKey] {
                    let page = try await store.list(prefix: prefix, after: nil, limit: 10)
                    try expect(page.objects.isEmpty && !page.hasMore, "the list of nothing is not empty")
                }
                try await store.put("a/b/c", "x")
                try await store.delete(["a/b/c"])
                for prefix in ["", "a", "a/", "a/b"] as [ObjectKey] {
                    try await expectNames(store.listAll(prefix), [], "prefix \"\(prefix)\" after the delete")
                }
            }
        },
        ObjectStoreRule("a list under writes misses nothing that stays") { subject in
            try await subject.withTwoStores { writer, reader in
                let still = (0..<60).map { ObjectKey("w/\($0 % 4)/still-\($0)") }.sorted()
                let replaced = (0..<20).map { ObjectKey("w/\($0 % 4)/replaced-\($0)") }
                try await writer.putEach(still + replaced)
                let steady = (still + replaced).sorted()
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { for _ in 0..<4 { for key in replaced { try await writer.put(key, "new") } } }
                    group.addTask {
                        for number in 0..<80 {
                            let key = ObjectKey("w/\(number % 4)/passing-\(number)")
                            try await writer.put(key, "x")
                            try await writer.delete([key])
                        }
                    }
                    for pageSize in [1000, 7] {
                        group.addTask {
                            for _ in 0..<10 {
                                let seen = try await reader.listAll("w/", pageSize: pageSize)
                                let passing = Array("passing".utf8)
                                try expectNames(
                                    seen.filter {
                                        !$0.key.rawValue.utf8.split(separator: UInt8(ascii: "/"))[2].starts(
                                            with: passing)
                                    },
                                    steady, "under writes, in pages of \(pageSize)")
                            }
                        }
                    }
                    try await group.waitForAll()
                }
            }
        },
    ]

    /// Lists in pages.
    static let pagingRules = [
        ObjectStoreRule("1100 objects are listed in pages and deleted in one call") { subject in
            try await subject.withStore { store in
                let keys = (0..<1100).map { ObjectKey("many/\($0 / 10)/\($0)") }
                try await store.putEach(keys + ["manz"])
                let expected = keys.sorted()
                for pageSize in [1000, 999, 550, 128] {
                    try await expectNames(
                        store.listAll("many/", pageSize: pageSize), expected, "in pages of \(pageSize)")
                }
                try await store.delete(keys)
                try await expectNames(store.listAll(), ["manz"], "after the delete")
            }
        },
        ObjectStoreRule("a page begins behind `after`, be that a name, none, or outside the prefix") { subject in
            try await subject.withStore { store in
                let keys = (["p", "q/z"] + (10..<40).map { "p/\($0)" } + ["p/20/a", "p/20.a", "p/20/b/c"])
                    .map { ObjectKey($0) }.sorted()
                try await store.putEach(keys)
                let afters = [
                    "a", "o", "p", "p/", "p/0", "p/1", "p/10", "p/20", "p/20!", "p/20/", "p/20/a", "p/20/a/z", "p/20/b",
                    "p/20/z", "p/205", "p/38", "p/39", "p/9", "p0", "q", "q/", "q/z", "r",
                ].map { ObjectKey($0) }
                for prefix in ["", "p", "p/", "p/2", "p/20", "p/20/", "q/"] as [ObjectKey] {
                    for after in afters {
                        let expected = keys.filter {
                            after < $0 && $0.rawValue.utf8.starts(with: prefix.rawValue.utf8)
                        }
                        for limit in [1, 3, 1000] {
                            let page = try await store.list(prefix: prefix, after: after, limit: limit)
                            let what = "prefix \"\(prefix)\" after \"\(after)\", limit \(limit)"
                            try expectNames(page.objects, Array(expected.prefix(limit)), what)
                            try expectEqual(page.hasMore, expected.count > limit, "\(what): hasMore")
                        }
                    }
                }
            }
        },
        ObjectStoreRule("a page that holds the last name says that no more follow") { subject in
            try await subject.withStore { store in
                try await store.putEach(["l/1", "l/2", "l/3", "m"])
                for (limit, hasMore) in [(2, true), (3, false), (4, false)] {
                    let page = try await store.list(prefix: "l/", after: nil, limit: limit)
                    try expectEqual(page.hasMore, hasMore, "hasMore of a page of \(limit) from 3 names")
                }
            }
        },
        ObjectStoreRule("a page size outside 1 ... 1000 is refused") { subject in
            try await subject.withStore { store in
                for limit in [Int.min, -1, 0, 1001, Int.max] {
                    try await expectError(.invalidArgument, "a page of \(limit)") {
                        _ = try await store.list(prefix: "", after: nil, limit: limit)
                    }
                }
            }
        },
    ]
}
