import T4Protocols

extension ObjectStoreRules {
    /// Parts of objects.
    static let rangeRules = [
        ObjectStoreRule("a range gives its bytes, cut at the end of the object") { subject in
            try await subject.withStore { store in
                let body = pattern(1000)
                let version = try await store.put("a", body)
                for range in [
                    0..<1, 0..<1000, 0..<999, 1..<1000, 1..<2, 998..<999, 999..<1000, 300..<700, 0..<1001, 999..<5000,
                    500..<UInt64.max, 0..<UInt64.max, 0..<0, 10..<10, 999..<999,
                ] as [Range<UInt64>] {
                    let stored = try await store.get("a", bytes: range)
                    let expected = body[Int(range.lowerBound)..<Int(min(range.upperBound, 1000))]
                    try expect(
                        stored.bytes.elementsEqual(expected),
                        "bytes \(range) of 1000: expected \(expected.count), saw \(stored.bytes.count) or other bytes")
                    try expectEqual(
                        stored.info, ObjectInfo(key: "a", size: 1000, version: version), "what get \(range) states")
                }
            }
        },
        ObjectStoreRule("a range that starts at the end is empty, one behind the end is refused") { subject in
            try await subject.withStore { store in
                try await store.put("a", pattern(1000))
                try await store.put("empty", [])
                for (key, size) in [("a", 1000), ("empty", 0)] as [(ObjectKey, UInt64)] {
                    for range in [size..<size, size..<size + 1, size..<UInt64.max] {
                        let stored = try await store.get(key, bytes: range)
                        try expectEqual(stored.bytes, [], "bytes \(range) of \(size)")
                        try expectEqual(stored.info.size, size, "size that get \(range) states")
                    }
                    for range in [size + 1..<size + 1, size + 1..<size + 10, UInt64.max - 1..<UInt64.max] {
                        try await expectError(.invalidArgument, "bytes \(range) of \(size)") {
                            _ = try await store.get(key, bytes: range)
                        }
                    }
                }
            }
        },
    ]
}
