import T4Protocols

extension EngineRules {
    /// What `apply` does.
    static let batchRules = [
        EngineRule("an engine promises what its harness says") { engine in
            try await engine.withEngine { opened in
                try expectEqual(opened.capabilities, engine.capabilities, "capabilities")
            }
        },
        EngineRule("an empty engine has no rows and position zero") { engine in
            try await engine.withEngine { engine in
                try expectEqual(engine.appliedPosition, .zero, "applied position")
                try expectEqual(engine.durablePosition, .zero, "durable position")
                try expectRows(engine.snapshot().rows(), [], "all rows")
                try expectRows(engine.snapshot().rows(.all, .descending), [], "all rows, descending")
                try expectEqual(engine.snapshot().value([1]), nil, "value of an absent key")
            }
        },
        EngineRule("a batch shows whole, with its position") { engine in
            try await engine.withEngine { engine in
                try engine.put([Row(key: [2], value: [20]), Row(key: [1], value: [10])], at: 5)
                try expectRows(
                    engine.snapshot().rows(), [Row(key: [1], value: [10]), Row(key: [2], value: [20])], "all rows")
                try expectEqual(engine.appliedPosition, LogPosition(term: 1, index: 5), "applied position")
                try engine.apply(WriteBatch(), at: LogPosition(term: 7, index: 6))
                try expectEqual(engine.appliedPosition, LogPosition(term: 7, index: 6), "position of an empty batch")
            }
        },
        EngineRule("within a batch the last change of a key wins") { engine in
            try await engine.withEngine { engine in
                for (number, long) in [[UInt8](), [UInt8](repeating: 9, count: 600)].enumerated() {
                    var batch = WriteBatch()
                    batch.put(long + [1], [1])
                    batch.put(long + [1], [2])
                    batch.put(long + [2], [1])
                    batch.delete(long + [2])
                    batch.delete(long + [3])
                    batch.put(long + [3], [3])
                    try engine.apply(batch, at: LogPosition(term: 1, index: UInt64(number + 1)))
                    let rows = [Row(key: long + [1], value: [2]), Row(key: long + [3], value: [3])]
                    try expectRows(engine.snapshot().rows(KeyRange(prefix: long)).suffix(2), rows, "rows")
                    try expectEqual(engine.snapshot().value(long + [2]), nil, "put, then deleted")
                }
            }
        },
        EngineRule("deleting an absent key succeeds and changes nothing else") { engine in
            try await engine.withEngine { engine in
                try engine.delete([[1], Array(repeating: 7, count: 2000)], at: 1)
                try engine.put([Row(key: [1], value: [1])], at: 2)
                try engine.delete([[0], [2], [1, 0]], at: 3)
                try expectRows(engine.snapshot().rows(), [Row(key: [1], value: [1])], "all rows")
                try engine.delete([[1]], at: 4)
                try engine.delete([[1]], at: 5)
                try expectRows(engine.snapshot().rows(), [], "all rows after the delete")
                try expectEqual(engine.appliedPosition.index, 5, "applied index")
            }
        },
        EngineRule("a refused batch changes nothing") { engine in
            try await engine.withEngine { engine in
                try engine.put([Row(key: [1], value: [1])], at: 1)
                for refused in [[], [UInt8](repeating: 1, count: EngineLimits.keyBytes.upperBound + 1)] {
                    try expectError(.invalidArgument, "a key of \(refused.count) bytes") {
                        try engine.put([Row(key: [1], value: [9]), Row(key: refused, value: [9])], at: 2)
                    }
                    try expectError(.invalidArgument, "deleting a key of \(refused.count) bytes") {
                        try engine.delete([[1], refused], at: 2)
                    }
                }
                try expectRows(engine.snapshot().rows(), [Row(key: [1], value: [1])], "all rows")
                try expectEqual(engine.appliedPosition.index, 1, "applied index")
                try engine.put([Row(key: [1], value: [2])], at: 2)
                try expectEqual(engine.snapshot().value([1]), [2], "value after a good batch")
            }
        },
        EngineRule("the largest value is kept, a larger one refused") { engine in
            try await engine.withEngine { engine in
                let large = [UInt8](repeating: 3, count: EngineLimits.valueBytesMax)
                try engine.put([Row(key: [1], value: large)], at: 1)
                try expect(isEqual(engine.snapshot().value([1]), large), "value of \(large.count) bytes")
                try expectError(.invalidArgument, "a value of \(large.count + 1) bytes") {
                    try engine.put([Row(key: [2], value: [2]), Row(key: [3], value: large + [3])], at: 2)
                }
                try expectEqual(engine.snapshot().rows().map(\.key), [[1]], "keys after the refusal")
                try expectEqual(engine.appliedPosition.index, 1, "applied index after the refusal")
            }
        },
        EngineRule("values of every size come back, overwritten by other sizes too") { engine in
            try await engine.withEngine { engine in
                let sizes = [0, 1, 4096, 1_572_864, 8_388_608]
                var index: UInt64 = 0
                for shift in 0..<sizes.count {
                    let rows = (0..<sizes.count).map { number in
                        let size = sizes[(number + shift) % sizes.count]
                        return Row(
                            key: [UInt8(number)] + "value".utf8,
                            value: [UInt8](repeating: UInt8(number + shift + 1), count: size))
                    }
                    index += 1
                    try engine.put(rows, at: index)
                    let snapshot = try engine.snapshot()
                    try expectRows(snapshot.rows(), rows, "rows of round \(shift)")
                    for row in rows {
                        try expect(isEqual(snapshot.value(row.key), row.value), "value of \(brief(row.key))")
                    }
                }
            }
        },
    ]
}
