import EtcdAPI
import Foundation
import RPC
import T4Conformance
import Testing

/// Goal: a database moves from etcd to t4 and back, and no client can tell. Method: real etcd, its own tools, and a
/// comparison of every revision, event and lease.
@Suite(.enabled(if: TestEnvironment.subject != .etcd, "about t4 itself"))
struct ImportTests {
    @Test(arguments: SnapshotTests.Compaction.allCases)
    func thereAndBack(_ compaction: SnapshotTests.Compaction) async throws {
        try await EtcdMove.with { move in
            let etcd = try await move.etcd()
            let there = try await DatabaseView.connect(to: etcd)
            let deletion = try await SnapshotTests.writeOfEverything(there)
            let newest = try await there.all().revision
            let compacted: Int64 =
                switch compaction {
                case .none: 0
                case .inTheMiddle: newest - 9
                case .atADeletion: deletion
                case .atTheEnd: newest
                }
            // What is hidden is gone then, in the file as well as for those who watch.
            if compacted > 0 { try await there.compact(compacted, physical: true) }
            let file = move.path("etcd.db")
            try await SnapshotTools.save(etcd, to: file)
            let said = try await move.t4("import", "etcd-snapshot", file.path, "--data-dir", move.path("t4").path)
            #expect(said.contains("revision:  \(newest)\n") && said.contains("compacted: \(compacted)\n"), "\(said)")
            let keys = try await there.all().kvs.count
            #expect(said.contains("keys:      \(keys)\n") && said.contains("leases:    3\n"), "\(said)")

            let t4 = try await move.run("t4")
            let here = try await DatabaseView.connect(to: t4)
            try await SnapshotTests.compare(there, here, from: compacted, revisions: Array(max(1, compacted)...newest))
            await there.rpc.close()
            await etcd.crash()

            let back = move.path("t4.db")
            try await SnapshotTools.save(t4, to: back)
            let restored = try await SnapshotTools.restore(back, to: move.path("restored"))
            let again = try await DatabaseView.connect(to: restored)
            try await SnapshotTests.compare(
                here, again, from: compacted, revisions: Array(max(1, compacted)...newest + 1))
            await here.rpc.close()
            await again.rpc.close()
            await t4.crash()
            await restored.crash()
        }
    }

    @Test func anEmptyDatabase() async throws {
        try await EtcdMove.with { move in
            let etcd = try await move.etcd()
            try await SnapshotTools.save(etcd, to: move.path("etcd.db"))
            try await move.t4("import", "etcd-snapshot", move.path("etcd.db").path, "--data-dir", move.path("t4").path)
            let t4 = try await move.run("t4")
            let (there, here) = (try await DatabaseView.connect(to: etcd), try await DatabaseView.connect(to: t4))
            try await SnapshotTests.compare(there, here, from: 0, revisions: [1])
            await there.rpc.close()
            await here.rpc.close()
            await etcd.crash()
            await t4.crash()
        }
    }

    @Test func usersKeepTheirPasswords() async throws {
        try await EtcdMove.with { move in
            let etcd = try await move.etcd()
            func etcdctl(_ server: ServerUnderTest, _ arguments: String..., user: String = "root:rootpw") async throws
                -> (status: ExitStatus, text: String)
            {
                let all = ["--endpoints", server.address, "--user", user] + arguments
                let process = try ChildProcess(
                    TestEnvironment.tool("etcdctl"), all, environment: TestEnvironment.forChildren)
                process.closeInput()
                let status = try await process.wait()
                return (status, process.output.value.description + process.errors.value.description)
            }
            let view = try await DatabaseView.connect(to: etcd)
            try await view.put(Array("a".utf8), [0x31])
            try await view.put(Array("z".utf8), [0x32])
            await view.rpc.close()
            for command in [
                ["user", "add", "root:rootpw"], ["user", "add", "bob:bobpw"],
                ["user", "add", "nobody", "--no-password"],
                ["role", "add", "reader"], ["role", "grant-permission", "reader", "read", "a", "c"],
                ["user", "grant-role", "bob", "reader"], ["auth", "enable"],
            ] {
                _ = try await SnapshotTools.run("etcdctl", ["--endpoints", etcd.address] + command)
            }
            let saved = try await etcdctl(etcd, "snapshot", "save", move.path("etcd.db").path)
            #expect(saved.status == .code(0), "\(saved.text)")
            let said = try await move.t4(
                "import", "etcd-snapshot", move.path("etcd.db").path, "--data-dir", move.path("t4").path)
            #expect(said.contains("users:     3, and 2 roles (authentication is on)\n"), "\(said)")
            let t4 = try await move.run("t4")
            _ = try await etcdctl(t4, "snapshot", "save", move.path("t4.db").path)
            let restored = try await SnapshotTools.restore(move.path("t4.db"), to: move.path("restored"))
            var users: [String] = []
            for server in [etcd, t4, restored] {
                #expect(try await etcdctl(server, "get", "z").text == "z\n2\n", "\(server.kind)")
                #expect(try await etcdctl(server, "get", "a", user: "bob:bobpw").text == "a\n1\n", "\(server.kind)")
                let denied = try await etcdctl(server, "get", "z", user: "bob:bobpw").text
                #expect(denied.contains("permission denied"), "\(server.kind)")
                let wrong = try await etcdctl(server, "get", "a", user: "bob:other").text
                #expect(wrong.contains("authentication failed"), "\(server.kind): \(wrong)")
                users.append(try await etcdctl(server, "user", "get", "bob", "--detail").text)
                users.append(try await etcdctl(server, "user", "list").text)
            }
            #expect(users[0] == users[2] && users[0] == users[4] && users[1] == users[3] && users[1] == users[5])
            for server in [etcd, t4, restored] { await server.crash() }
        }
    }

    /// Small file, copied from a data directory, on each engine; then with an object store, whose first checkpoint is all
    /// that is left of it.
    @Test func aBareFileGoesIntoAnObjectStore() async throws {
        try await EtcdMove.with { move in
            let etcd = try await move.etcd()
            let there = try await DatabaseView.connect(to: etcd)
            _ = try await SnapshotTests.writeOfEverything(there)
            let state = try await there.all()
            await there.rpc.close()
            try await etcd.stop()
            let file = move.path("etcd/member/snap/db").path
            try await move.expectFailure(
                "import", "etcd-snapshot", file, "--data-dir", move.path("t4").path, saying: "--skip-hash-check")
            for engine in try await TestEnvironment.engines() where engine != "memory" {
                try await move.t4(
                    "import", "etcd-snapshot", file, "--skip-hash-check", "--data-dir", move.path(engine).path,
                    "--engine", engine)
            }
            try await move.t4("import", "etcd-snapshot", file, "--skip-hash-check", "--data-dir", move.path("t4").path)
            let store = ["--store-type", "filesystem", "--store-filesystem-path", move.path("store").path]
            for name in ["t4", "refilled"] {
                let t4 = try await move.run(name, store)
                let here = try await DatabaseView.connect(to: t4)
                let found = try await here.all()
                #expect(found.revision == state.revision && found.kvs == state.kvs)
                let log = try await here.events(from: 2, through: state.revision)
                #expect(log.lastRevision == state.revision && log.events.first?.kv.modRevision == 2)
                await here.rpc.close()
                // The node makes its first checkpoint before it ends.
                #expect(try await t4.stop() == .code(0))
            }
            let taken = try move.launch(
                ["import", "etcd-snapshot", file, "--skip-hash-check", "--data-dir", move.path("other").path] + store)
            #expect(try await taken.wait() == .code(1))
            #expect(taken.errors.value.description.contains("holds a database already"))
        }
    }

    @Test func nothingIsLeftOfWhatCannotBeImported() async throws {
        try await EtcdMove.with { move in
            let etcd = try await move.etcd()
            let there = try await DatabaseView.connect(to: etcd)
            for number in 0..<300 { try await there.put(Array("key\(number)".utf8), [UInt8](repeating: 7, count: 100)) }
            await there.rpc.close()
            try await SnapshotTools.save(etcd, to: move.path("good.db"))
            await etcd.crash()
            try FileManager.default.removeItem(at: move.path("etcd"))
            let good = [UInt8](try Data(contentsOf: move.path("good.db")))
            var flipped = good
            flipped[good.count / 2] ^= 1
            let files: [(String, [UInt8], String)] = [
                ("flipped.db", flipped, "the file is damaged"),
                ("short.db", Array(good.dropLast(4096)), "the file is damaged"),
                ("cut.db", Array(good.prefix(good.count / 2 + 7)), "has no hash at its end"),
                ("empty.db", [], "has no hash at its end"),
            ]
            for (name, bytes, text) in files {
                try Data(bytes).write(to: move.path(name))
                try await move.expectFailure(
                    "import", "etcd-snapshot", move.path(name).path, "--data-dir", move.path("t4").path, saying: text)
            }
            // Without the hash every page is looked at all the same.
            try await move.expectFailure(
                "import", "etcd-snapshot", move.path("short.db").path, "--skip-hash-check", "--data-dir",
                move.path("t4").path, saying: "the file is cut off")
            #expect(try move.names == ["cut.db", "empty.db", "flipped.db", "good.db", "short.db"])
            try await move.t4("import", "etcd-snapshot", move.path("good.db").path, "--data-dir", move.path("t4").path)
            try await move.expectFailure(
                "import", "etcd-snapshot", move.path("good.db").path, "--data-dir", move.path("t4").path,
                saying: "is not empty")
        }
    }

    @Test func aKilledImportLeavesNoDataDirectory() async throws {
        try await EtcdMove.with { move in
            let etcd = try await move.etcd()
            let there = try await DatabaseView.connect(to: etcd)
            for start in stride(from: 0, to: 20_000, by: 100) {
                try await there.txn(puts: (start..<start + 100).map { (Array("key\($0)".utf8), [1, 2, 3]) })
            }
            let state = try await there.all()
            await there.rpc.close()
            let file = move.path("etcd.db")
            try await SnapshotTools.save(etcd, to: file)
            await etcd.crash()
            try FileManager.default.removeItem(at: move.path("etcd"))
            let command = ["import", "etcd-snapshot", file.path, "--data-dir", move.path("t4").path]
            // What shows how far it is. Nothing else tells, so that each is looked for again and again.
            for sign in ["LOCK", "engine/state", "engine/1/data.mdb", "wal", "database"] {
                let process = try move.launch(command)
                while !process.output.value.ended {
                    let made = try move.names.first { $0.hasPrefix("t4.restoring-") }
                    if let made, FileManager.default.fileExists(atPath: move.path(made + "/" + sign).path) { break }
                }
                await process.destroy()
                guard try move.names.contains("t4") else { continue }
                // It was quicker: then everything is there.
                try FileManager.default.removeItem(at: move.path("t4"))
            }
            try await move.t4("import", "etcd-snapshot", file.path, "--data-dir", move.path("t4").path)
            #expect(try move.names == ["etcd.db", "t4"])
            let t4 = try await move.run("t4")
            let here = try await DatabaseView.connect(to: t4)
            #expect(try await here.all().kvs == state.kvs)
            await here.rpc.close()
            await t4.crash()
        }
    }
}
