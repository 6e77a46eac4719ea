// Goal: what a node promised is kept while its store is away, when it comes back, and when another node took over.
import FoundationEssentials
import T4Protocols
import Testing

@testable import T4Core

struct StoreOutageTests {
    @Test func localWritesGoOnAndCatchUp() async throws {
        let base = try await makeMemoryStore()
        let store = OutageStore(base)
        let test = try await StoreNode(.local, engine: "lmdb", on: base, through: store)
        try await test.start()
        store.goAway()
        for number in 0..<100 { try await test.put("\(number)", "away") }
        #expect(test.node.storeStatus!.backlogEntries >= 100)
        store.comeBack()
        try await test.node.checkpoint()
        #expect(test.node.storeStatus?.backlogEntries == 0)
        #expect(test.node.storeStatus?.outage == nil)
        try await test.stop()
        try test.removeDisk()
        try await test.start()
        #expect(try test.all().count == 100)
        try await test.stop()
    }

    /// What could not be uploaded before the process ended is uploaded by the next one.
    @Test func theBacklogSurvivesARestart() async throws {
        let base = try await makeMemoryStore()
        let store = OutageStore(base)
        let test = try await StoreNode(.local, engine: "lmdb", on: base, through: store)
        try await test.start()
        store.goAway()
        for number in 0..<50 {
            try await test.node.put(PutRequest(key: [UInt8(number)], value: [UInt8](repeating: 2, count: 5000)))
        }
        try await test.stop()
        store.comeBack()
        try await test.start()
        #expect(try test.all().count == 50)
        try await test.stop()
        try test.removeDisk()
        try await test.start()
        #expect(try test.all().count == 50)
        try await test.stop()
    }

    /// Goal: what follows a checkpoint is told from what a deposed node left by the term of the checkpoint's last entry,
    /// which has to be that of the header it lies under. Method: entries of an earlier term are uploaded under a later one.
    @Test func checkpointsEndInTheTermTheyWereUploadedIn() async throws {
        let base = try await makeMemoryStore()
        let store = OutageStore(base)
        let test = try await StoreNode(.local, engine: "lmdb", on: base, through: store)
        try await test.start()
        try await test.put("a", "1")
        try await test.node.checkpoint()
        store.goAway()
        for number in 0..<50 { try await test.put("\(number)", "away") }
        try await test.stop()
        store.comeBack()
        try await test.start()
        try await test.node.checkpoint()
        try await test.put("b", "2")
        try await test.node.checkpoint()
        try await test.stop()
        let chain = try await test.chain
        try await onThread {
            var terms: [LogPosition: UInt64] = [:]
            var isLater = false
            try chain.store.list(StoreLayout.log) { info in
                let object = try LogObject(
                    chain.store.get(info.key).bytes, key: info.key, databaseID: chain.databaseID)
                terms[object.end] = object.header.term
                if object.entries[0].position.term < object.header.term { isLater = true }
            }
            #expect(isLater)
            let checkpoints = CheckpointStore(chain.store, databaseID: chain.databaseID)
            let keys = try checkpoints.checkpoints()
            #expect(keys.count >= 3)
            for key in keys {
                let position = try checkpoints.manifest(key).checkpoint.position
                #expect(terms[position] == position.term)
            }
        }
    }

    @Test func writesThatNeedTheStoreAreRefusedUntilItIsBack() async throws {
        let base = try await makeMemoryStore()
        let store = OutageStore(base)
        let test = try await StoreNode(.objectStore, on: base, through: store)
        test.settings.outageTimeout = .milliseconds(50)
        try await test.start()
        try await test.put("before", "1")
        store.goAway()
        let unknown = await #expect(throws: DatabaseError.self) { try await test.put("during", "2") }
        #expect(unknown?.code == .outcomeUnknown)
        // Nobody sees what is not in the store.
        #expect(try test.all() == ["before=1"])
        let refused = await #expect(throws: DatabaseError.self) { try await test.put("refused", "3") }
        #expect(refused?.code == .storeUnavailable)
        store.comeBack()
        while true {
            do {
                try await test.put("after", "4")
                break
            } catch let error as DatabaseError where error.code == .storeUnavailable {
                await Task.yield()
            }
        }
        #expect(try test.all() == ["after=4", "before=1", "during=2"])
        try await test.stop()
        try test.removeDisk()
        try await test.start()
        #expect(try test.all() == ["after=4", "before=1", "during=2"])
        try await test.stop()
    }

    /// A transaction that reads history waits until everything before it is applied: a stop does not wait with it for ever.
    @Test func aStopDoesNotWaitForTheStore() async throws {
        let base = try await makeMemoryStore()
        let store = OutageStore(base)
        let test = try await StoreNode(.objectStore, on: base, through: store)
        test.settings.outageTimeout = .seconds(3600)
        try await test.start()
        try await test.put("a", "1")
        let revision = test.node.revision
        store.goAway()
        let node = test.node!
        let put = Task { try await node.put(PutRequest(key: Array("b"), value: [2])) }
        await onceAway(store)
        let history = RangeRequest(key: Array("a"), revision: revision.rawValue)
        let txn = Task {
            try await node.txn(
                TxnRequest(
                    compares: [], success: [.range(history), .put(PutRequest(key: Array("c"), value: [3]))]))
        }
        try await test.stop()
        let first = await #expect(throws: DatabaseError.self) { try await put.value }
        #expect(first?.code == .outcomeUnknown)
        await #expect(throws: DatabaseError.self) { try await txn.value }
        store.comeBack()
        try await test.start()
        #expect(try test.all().contains("a=1"))
        try await test.stop()
    }

    private func onceAway(_ store: OutageStore) async {
        do { try await onThread { store.waitForRefusal() } } catch {}
    }

    @Test func aStartWithoutTheStoreIsGivenUp() async throws {
        let base = try await makeMemoryStore()
        let store = OutageStore(base)
        let test = try await StoreNode(.local, engine: "lmdb", on: base, through: store)
        try await test.start()
        try await test.put("a", "1")
        try await test.stop()
        test.settings.startTimeout = .milliseconds(1)
        test.pauseMax = .milliseconds(1)
        for calls in [0, 1, 30, 33, 35] {
            store.goAway(afterCalls: calls)
            do {
                try await test.start()
                try await test.stop()
            } catch {}
            store.comeBack()
        }
        test.settings.startTimeout = .seconds(60)
        test.pauseMax = .seconds(60)
        try await test.start()
        #expect(try test.all() == ["a=1"])
        try await test.stop()
    }

    // MARK: - Two nodes

    @Test(arguments: StoreNodeTests.both)
    func anotherNodeTakesOver(_ durability: Durability) async throws {
        let old = try await StoreNode(durability, engine: "lmdb")
        try await old.start()
        for number in 0..<20 { try await old.put("\(number)", "old") }
        try await old.node.checkpoint()
        let new = try await StoreNode(durability, on: old.base)
        try await new.start()
        #expect(try new.all().count == 20)
        try await new.put("new", "1")
        // The first node cannot continue a log that the second one continued.
        if durability == .local {
            try await old.put("lost", "?")
            await #expect(throws: (any Error).self) { _ = try await old.node.checkpoint() }
        } else {
            let error = await #expect(throws: DatabaseError.self) { try await old.put("lost", "?") }
            #expect(error?.code == .outcomeUnknown)
        }
        old.failures.wait { $0.isEmpty ? nil : () }
        await #expect(throws: DatabaseError.self) { try await old.put("more", "?") }
        try await old.stop()
        try await new.put("new", "2")
        try await new.node.checkpoint()
        try await new.stop()

        if durability == .local {
            // The write was acknowledged and nobody else has it: nothing is decided behind anybody's back.
            let error = await #expect(throws: Recovery.Failure.self) { try await old.start() }
            #expect(error?.description.contains("move the directory away") == true)
        } else {
            try await old.start()
            #expect(try old.all().count == 21)
            #expect(FileManager.default.fileExists(atPath: old.directory + "/wal.aside-1"))
            try await old.put("again", "3")
            try await old.stop()
            try await new.start()
            #expect(try new.all().count == 22)
            try await new.stop()
        }
    }

    // MARK: - Damage and cut-off starts

    @Test func aDamagedCheckpointGivesWayToTheOneBefore() async throws {
        let test = try await StoreNode(.objectStore)
        try await test.start()
        for number in 0..<100 { try await test.put("\(number)", "first") }
        let first = try await test.node.checkpoint()
        for number in 50..<150 { try await test.put("\(number)", "second") }
        let second = try await test.node.checkpoint()
        #expect(first != nil && second != nil)
        let content = try test.all()
        try await test.stop()
        try test.removeDisk()
        let key = ObjectKey("db/" + second!)
        var bytes = try await test.base.get(key, bytes: nil).bytes
        bytes[bytes.count / 2] ^= 1
        _ = try await test.base.put(key, .bytes(bytes), when: .always)
        try await test.start()
        #expect(try test.all() == content)
        try await test.stop()
    }

    @Test func anEngineThatWasBeingFilledIsFilledAgain() async throws {
        let test = try await StoreNode(.objectStore, engine: "lmdb")
        try await test.start()
        for number in 0..<100 { try await test.put("\(number)", "value") }
        try await test.node.checkpoint()
        let content = try test.all()
        try await test.stop()
        let path = test.directory + "/engine/state"
        let state = try #require(try DurableFile.read(path))
        try DurableFile.write(state + "filled partly\n", to: path)
        try await test.start()
        #expect(try test.all() == content)
        #expect(try DurableFile.read(path)?.contains("generation 1\n") == false)
        try await test.stop()
    }

    /// The store dies at any of its calls, and then the disk goes: what was acknowledged is there.
    @Test func nothingAcknowledgedIsLostWhereverTheStoreDies() async throws {
        var acknowledgedInAll = 0
        for calls in stride(from: 40, to: 140, by: 3) {
            let base = try await makeMemoryStore()
            let store = OutageStore(base)
            let test = try await StoreNode(.objectStore, on: base, through: store)
            test.pauseMax = .milliseconds(1)
            test.settings.checkpoints.entries = 3
            store.goAway(afterCalls: calls)
            test.settings.startTimeout = .milliseconds(1)
            var acknowledged: [String] = []
            do {
                try await test.start()
                for number in 0..<40 {
                    try await test.put("\(number % 7)", "\(number)")
                    acknowledged.append("\(number)")
                }
            } catch {}
            try await test.stop()
            store.comeBack()
            try test.removeDisk()
            test.settings.startTimeout = .seconds(60)
            test.pauseMax = .seconds(60)
            try await test.start()
            acknowledgedInAll += acknowledged.count
            var newest: [Int: Int] = [:]
            for number in 0..<acknowledged.count { newest[number % 7] = number }
            for (key, number) in newest {
                let found = try test.node.range(RangeRequest(key: Array("\(key)"))).kvs.first?.value
                let value = found.flatMap { Int(String(decoding: $0, as: UTF8.self)) }
                // The one write of unknown outcome may be there as well.
                #expect(value == number || value == acknowledged.count, "after \(calls) calls: \(key)")
            }
            try await test.stop()
        }
        #expect(acknowledgedInAll > 150)
    }
}
