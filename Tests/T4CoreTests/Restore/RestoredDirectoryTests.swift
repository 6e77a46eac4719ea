import Foundation
import T4BuiltIns
import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

/// A restore makes a whole data directory or none.
@Suite(.enabled(if: !RestoreFolder.enginesOnDisk.isEmpty, "nothing can be restored into memory"))
struct RestoredDirectoryTests {
    @Test(arguments: RestoreFolder.enginesOnDisk) func eachEngineIsFilled(_ engine: String) async throws {
        let folder = try await RestoreFolder()
        try await onThread {
            let fixture = try folder.makeDatabase()
            let state = try #require(fixture.history.state(at: Revision(90)))
            let report = try folder.restore(folder.point(.revision(Revision(90))), engine: engine)
            #expect(report.revision == state.revision && report.compactedRevision == state.compacted)
            #expect(report.keyCount == UInt64(state.current.count) && report.sizeOnDisk > 0)
            #expect(try folder.names() == ["data"])
            #expect(try folder.names(folder.data) == ["LOCK", "database", "engine", "wal"])
            #expect(try folder.names(folder.data + "/wal").isEmpty)
            try folder.withEngine { try fixture.expectState($0, state) }
            let summary = try folder.summary()
            guard case .dataDirectory(_, let held, _, _) = summary.source else { preconditionFailure("no directory") }
            #expect(held == engine && summary.revision == state.revision)
            #expect(summary.databaseID == report.databaseID)
        }
    }

    @Test func aCutIsADatabaseOfItsOwn() async throws {
        let folder = try await RestoreFolder()
        try await onThread {
            let fixture = try folder.makeDatabase()
            let newest = try #require(fixture.checkpoints.last).key
            let points: [(RestorePoint, Bool)] = [
                (folder.point(.latestCheckpoint), true), (folder.point(.checkpoint(newest)), true),
                (folder.point(.end), true), (folder.point(.revision(Revision(60))), false),
                (folder.point(.time(.max)), false), (folder.point(.latestCheckpoint, bumpsRevision: true), false),
            ]
            var ids: Set<DatabaseID> = []
            for (number, (point, keeps)) in points.enumerated() {
                let path = "\(folder.path)/\(number)"
                let report = try folder.restore(point, path)
                let plan = report.plan
                let identity = try #require(try DataDirectory.readIdentity(path))
                let origin = Manifest.Lineage(
                    database: "\(LogFixture.databaseID)", term: plan.end.term, index: plan.end.index,
                    revision: plan.revision.rawValue)
                #expect((identity.database == LogFixture.databaseID) == keeps && plan.keepsDatabase == keeps)
                #expect(identity.tie == (keeps ? .restored : .none))
                #expect(identity.origin == (keeps ? origin : nil) && identity.lineage == (keeps ? nil : origin))
                #expect("\(identity.database)" == report.databaseID)
                #expect(try folder.summary(path).revision == plan.bumpedRevision ?? plan.revision)
                ids.formUnion([identity.instance] + (keeps ? [] : [identity.database]))
            }
            #expect(ids.count == 9, "each has ids of its own")
        }
    }

    @Test func onlyAFreePlaceIsTaken() async throws {
        let folder = try await RestoreFolder()
        try await onThread {
            _ = try folder.makeDatabase()
            let (file, link, full) = (folder.path + "/file", folder.path + "/link", folder.path + "/full")
            try Data().write(to: URL(filePath: file))
            try FileManager.default.createDirectory(atPath: full + "/x", withIntermediateDirectories: true)
            try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: full)
            for path in [file, link, full, full + "/", full + "/..", full + "/.", "/", ""] {
                let error = #expect(throws: RestoreError.self) { try folder.restore(folder.point(.end), path) }
                #expect(error?.code == .destination, "\(path)")
            }
            let volatile = #expect(throws: RestoreError.self) {
                try folder.restore(folder.point(.end), engine: "memory")
            }
            #expect(volatile?.code == .destination)
            #expect(throws: BackendError.self) { try folder.restore(folder.point(.end), engine: "papyrus") }
            #expect(throws: RestoreError.self) { try folder.restore(folder.point(.revision(Revision(1)))) }
            #expect(try folder.names() == ["file", "full", "link"])
            #expect(try folder.names(full) == ["x"])

            // Missing folders above are made, an empty directory is replaced.
            try folder.restore(folder.point(.end), folder.path + "/a/b/")
            #expect(try folder.names(folder.path + "/a") == ["b"])
            try FileManager.default.createDirectory(atPath: folder.path + "/empty", withIntermediateDirectories: true)
            try folder.restore(folder.point(.end), folder.path + "/empty")
            #expect(try folder.names(folder.path + "/empty").contains("database"))
        }
    }

    @Test func aFailureAtAnyStepLeavesNothing() async throws {
        struct Failure: Error {}
        let folder = try await RestoreFolder()
        try await onThread {
            _ = try folder.makeDatabase()
            for failing in RestoredDirectory.Step.allCases {
                var steps: [RestoredDirectory.Step] = []
                #expect(throws: Failure.self) {
                    try folder.restore(folder.point(.end)) { step in
                        steps.append(step)
                        if step == failing { throw Failure() }
                    }
                }
                #expect(steps == Array(RestoredDirectory.Step.allCases.prefix { $0 != failing }) + [failing])
                let names = try folder.names()
                #expect(names == (failing == .named ? ["data"] : []))
            }
            _ = try folder.summary()
        }
    }

    /// Goal: after a crash there is a whole directory or none, and the next restore clears up. Method: what lies on the
    /// disk after each step is copied, and restored into again.
    @Test func aCrashAtAnyStepLeavesNoHalfDirectory() async throws {
        let folder = try await RestoreFolder()
        let copies = try await RestoreFolder()
        try await onThread {
            let fixture = try folder.makeDatabase()
            try folder.restore(folder.point(.end)) { step in
                try FileManager.default.copyItem(atPath: folder.path, toPath: "\(copies.path)/\(step)")
            }
            for step in RestoredDirectory.Step.allCases {
                let copy = "\(copies.path)/\(step)"
                let names = try copies.names(copy)
                #expect(names.count == 1)
                guard step != .named else {
                    #expect(names == ["data"])
                    continue
                }
                #expect(names[0].hasPrefix("data.restoring-"))
                // What only looks alike stays.
                let others = ["data.restoring-me", "data2.restoring-0123456789abcdef"]
                for other in others {
                    try FileManager.default.createDirectory(
                        atPath: "\(copy)/\(other)", withIntermediateDirectories: true)
                }
                try folder.restore(folder.point(.end), copy + "/data")
                #expect(try copies.names(copy) == ["data"] + others)
            }
            for step in RestoredDirectory.Step.allCases {
                try copies.withEngine("\(copies.path)/\(step)/data") { engine in
                    try fixture.expectState(engine, fixture.history.last)
                }
            }
        }
    }

    /// Two at once: one wins, and neither harms the other.
    @Test func aRestoreUnderWayIsLeftAlone() async throws {
        let folder = try await RestoreFolder()
        try await onThread {
            let fixture = try folder.makeDatabase()
            let error = #expect(throws: RestoreError.self) {
                try folder.restore(folder.point(.end)) { step in
                    guard step == .filled else { return }
                    try folder.restore(folder.point(.revision(Revision(50))))
                    #expect(try folder.names().count == 2)
                }
            }
            #expect(error?.code == .destination)
            #expect(try folder.names() == ["data"])
            let state = try #require(fixture.history.state(at: Revision(50)))
            try folder.withEngine { try fixture.expectState($0, state) }
        }
    }

    @Test func aDamagedCheckpointIsNotSeenInTheDirectory() async throws {
        let folder = try await RestoreFolder()
        try await onThread {
            let fixture = try folder.makeDatabase()
            let number = fixture.checkpoints.count - 1
            let table = try fixture.ownTable(of: number)
            try fixture.damage(table)
            let report = try folder.restore(folder.point(.end))
            #expect(report.plan.checkpoint?.key == fixture.checkpoints[number - 1].key)
            #expect(report.plan.warnings.contains { $0.contains(table.rawValue) })
            #expect(try folder.names() == ["data"])
            try folder.withEngine { try fixture.expectState($0, fixture.history.last) }
        }
    }

    /// The tables of a branch lie under the prefix of its parent.
    @Test func aBranchFindsTheTablesOfItsParent() async throws {
        let folder = try await RestoreFolder()
        try await onThread {
            let fixture = try folder.makeDatabase()
            let parent = try #require(fixture.checkpoints.last)
            var envelope = parent.file.envelope
            envelope.places = envelope.places.mapValues {
                ManifestFile.Place(prefix: "db/", key: ObjectKey($0.key), size: $0.size)
            }
            let branch = BlockingStore(PrefixedStore(folder.base, prefix: "branch/"))
            _ = try DatabaseObject(LogFixture.databaseID, created: 6).write(branch)
            let file = try ManifestFile(parent.file.checkpoint, envelope)
            _ = try branch.put(parent.key, file.encoded(), when: .absent)
            try folder.restore(RestorePoint(store: folder.base, prefix: "branch/", target: .latestCheckpoint))
            let state = fixture.history.states[Int(parent.file.checkpoint.index)]
            try folder.withEngine { try fixture.expectState($0, state) }
        }
    }

    @Test func thePlanIsWhatIsDone() async throws {
        let folder = try await RestoreFolder()
        _ = try await onThread { try folder.makeDatabase().history.last }
        let point = folder.point(.time(.max), bumpsRevision: true)
        let plan = try await point.plan()
        #expect(try folder.names().isEmpty)
        let heard = Monitor<[RestoreProgress]>([])
        let report = try await point.restore(
            into: RestoreDestination(dataDirectory: folder.data, engine: RestoreFolder.engine), registry: .builtIn,
            logger: quietLogger
        ) { progress in heard.withLock { $0.append(progress) } }
        #expect(report.plan == plan && report.revision == plan.bumpedRevision)
        let progress = heard.withLock { $0 }
        let last = try #require(progress.last)
        #expect(last.tablesDone == last.tablesAll && last.tablesAll == plan.checkpoint?.tableCount)
        #expect(last.entriesDone == plan.entryCount && last.entriesAll == plan.entryCount)
        #expect(last.bytesRead > plan.entrySize + (plan.checkpoint?.size ?? 0))
        for (before, after) in zip(progress, progress.dropFirst()) {
            #expect(before.tablesDone <= after.tablesDone && before.entriesDone <= after.entriesDone)
            #expect(before.bytesRead <= after.bytesRead)
        }
        let elsewhere = RestorePoint(store: folder.base, prefix: "nothing/", target: .end)
        let error = await #expect(throws: RestoreError.self) { try await elsewhere.plan() }
        #expect(error?.code == .notKept && error?.message.contains("nothing/") == true)
    }
}
