import T4Protocols

extension EngineRules {
    /// Opening, syncing and closing.
    static let lifecycleRules = [
        EngineRule("rows and position are there after opening again", needs: [.files]) { engine in
            try await engine.withStorage { storage in
                var model = Model()
                for index in 1...8 {
                    let engine = try storage.open()
                    try expectRows(engine.snapshot().rows(), model.rows, "rows at opening \(index)")
                    try expectEqual(engine.appliedPosition.index, UInt64(index - 1), "applied index")
                    let rows = [[UInt8(index)], [UInt8](repeating: UInt8(index), count: 1200)].map {
                        Row(key: $0, value: [UInt8](repeating: 1, count: index * 1000))
                    }
                    for row in rows { model.put(row.key, row.value) }
                    try engine.put(rows, at: UInt64(index))
                    try engine.close()
                }
            }
        },
        EngineRule("after a sync everything applied is durable") { engine in
            try await engine.withEngine { engine in
                for index in 1...3 {
                    try engine.put([Row(key: [1], value: [UInt8(index)])], at: UInt64(index))
                    try expect(engine.durablePosition <= engine.appliedPosition, "durable before it is applied")
                    try engine.sync()
                    let expected = engine.capabilities.isVolatile ? LogPosition.zero : try engine.appliedPosition
                    try expectEqual(engine.durablePosition, expected, "durable position after a sync")
                }
            }
        },
        EngineRule("after a close every call says so, and closing again is fine") { engine in
            try await engine.withStorage { storage in
                let engine = try storage.open()
                try engine.put([Row(key: [1], value: [1])], at: 1)
                try engine.close()
                try engine.close()
                try expectError(.closed, "snapshot") { _ = try engine.snapshot() }
                try expectError(.closed, "apply") { try engine.put([Row(key: [2], value: [])], at: 2) }
                try expectError(.closed, "sync") { try engine.sync() }
                try expectError(.closed, "sizeOnDisk") { _ = try engine.sizeOnDisk() }
                try expectError(.closed, "sizeInUse") { _ = try engine.sizeInUse() }
                try expectError(.closed, "reclaimSpace") { try engine.reclaimSpace() }
                try expectError(.closed, "appliedPosition") { _ = try engine.appliedPosition }
                try expectError(.closed, "durablePosition") { _ = try engine.durablePosition }
                var rows = ArrayRows([])
                try expectError(.closed, "bulkLoad") { try engine.bulkLoad(&rows, at: .zero) }
            }
        },
        EngineRule("a snapshot outlives the close of its engine") { engine in
            try await engine.withStorage { storage in
                let engine = try storage.open()
                let rows = (0..<200).map { Row(key: [UInt8($0)], value: [UInt8](repeating: UInt8($0), count: 100)) }
                try engine.put(rows, at: 1)
                var snapshot: (any EngineSnapshot)? = try engine.snapshot()
                try engine.close()
                try expectRows(snapshot?.rows() ?? [], rows, "rows after the close")
                try expectEqual(snapshot?.value([7]), rows[7].value, "value after the close")
                snapshot = nil
                guard !storage.engine.capabilities.isVolatile else { return }
                let again = try storage.open()
                try expectRows(again.snapshot().rows(), rows, "rows after opening again")
                try again.close()
            }
        },
        EngineRule("a batch at the position of the one before is kept", needs: [.files]) { engine in
            try await engine.withStorage { storage in
                let first = try storage.open()
                var loaded = ArrayRows([Row(key: [1], value: [1])])
                try first.bulkLoad(&loaded, at: LogPosition(term: 1, index: 5))
                try first.put([Row(key: [2], value: [2])], at: 5)
                try first.sync()
                try first.close()
                let second = try storage.open()
                try expectEqual(second.snapshot().rows().count, 2, "rows after a sync and opening again")
                try second.put([Row(key: [3], value: [3])], at: 6)
                try second.sync()
                try second.put([Row(key: [4], value: [4])], at: 6)
                try second.close()
                let third = try storage.open()
                try expectEqual(third.snapshot().rows().count, 4, "rows after closing and opening again")
                try expectEqual(third.appliedPosition.index, 6, "applied index after opening again")
                try third.close()
            }
        },
        EngineRule("a second writer is refused", needs: [.files]) { engine in
            try await engine.withStorage { storage in
                let first = try storage.open()
                try first.put([Row(key: [1], value: [1])], at: 1)
                try expectError(.inUse, "a second opening") { _ = try storage.open() }
                try first.put([Row(key: [2], value: [2])], at: 2)
                try expectEqual(first.snapshot().rows().count, 2, "rows of the first writer")
                try first.close()
                let second = try storage.open()
                try expectEqual(second.appliedPosition.index, 2, "applied index of the next writer")
                try second.close()
            }
        },
        EngineRule("an inspection reads beside a writer and cannot write", needs: [.files]) { engine in
            try await engine.withStorage { storage in
                let writer = try storage.open()
                try writer.put([Row(key: [1], value: [1])], at: 1)
                try writer.sync()
                let reader = try storage.open(isReadOnly: true)
                try expectEqual(reader.snapshot().value([1]), [1], "value in the inspection")
                try expectError(.unsupported, "apply") { try reader.put([Row(key: [2], value: [])], at: 2) }
                try expectError(.unsupported, "sync") { try reader.sync() }
                var rows = ArrayRows([])
                try expectError(.unsupported, "bulkLoad") { try reader.bulkLoad(&rows, at: .zero) }
                try reader.close()
                try expectError(.closed, "snapshot of the closed inspection") { _ = try reader.snapshot() }
                try writer.put([Row(key: [2], value: [2])], at: 2)
                try expectEqual(writer.snapshot().rows().count, 2, "rows of the writer after the inspection")
                try writer.close()
            }
        },
        EngineRule("an inspection of an idle directory changes no file", needs: [.files]) { engine in
            try await engine.withStorage { storage in
                let writer = try storage.open()
                try writer.put([Row(key: [1], value: [1])], at: 1)
                try writer.close()
                let before = try storage.files()
                let reader = try storage.open(isReadOnly: true)
                try expectRows(reader.snapshot().rows(), [Row(key: [1], value: [1])], "rows in the inspection")
                try expectEqual(reader.appliedPosition.index, 1, "applied index in the inspection")
                try expect(try reader.sizeOnDisk() > 0, "size in the inspection")
                try reader.close()
                try expect(storage.files() == before, "an inspection changed a file")
            }
        },
    ]
}
