import Foundation
import T4Conformance
import Testing

/// Goal: an operator gets any moment of a database back with `t4 restore checkpoint`, or hears what is in the way.
/// Method: the real command, on what a real server left in its store.
@Suite(.enabled(if: TestEnvironment.subject != .etcd, "about t4 itself"))
struct RestoreCheckpointTests {
    /// Runs the command; checks code and messages, and that it printed no result.
    private func expect(_ arguments: [String], endsWith code: Int32, saying text: String) async throws {
        let process = try ChildProcess(
            TestEnvironment.t4Binary(), ["restore", "checkpoint"] + arguments, environment: TestEnvironment.forChildren)
        let status = try await process.wait()
        let (output, errors) = (process.output.value.description, process.errors.value.description)
        #expect(status == .code(code) && output == "" && errors.contains(text), "\(arguments): \(errors)")
    }

    @Test func aWrongCommandLineIsRefused() async throws {
        try await withTemporaryDirectory { folder in
            let data = ["--data-dir", folder.appending(path: "data").path]
            try await expect(data + ["--to-end", "--to-revision", "5"], endsWith: 64, saying: "cannot be had together")
            for time in ["yesterday", "2024-06-01", "2024-06-01T12:00:00"] {
                try await expect(data + ["--to-time", time], endsWith: 64, saying: "\"\(time)\" is no time")
            }
            try await expect(data + ["--to-revision", "many"], endsWith: 64, saying: "--to-revision")
            try await expect(
                ["--store-type", "filesystem", "--store-filesystem-path", folder.path], endsWith: 64,
                saying: "name the directory to make with --data-dir")
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
        }
    }

    @Test func whatIsMissingIsNamed() async throws {
        try await withTemporaryDirectory { folder in
            let store = try StoreFolder(folder.appending(path: "store"))
            try store.put("t4/wal/00000000000000000001", "not read")
            let data = folder.appending(path: "data").path
            let place = ["--store-type", "filesystem", "--store-filesystem-path", store.url.path, "--data-dir", data]
            try await expect(
                place + ["--store-prefix", "t4/"], endsWith: 1,
                saying: "t4: there is no database under the prefix \"t4/\": no object database\n")
            try store.put("t4/database", "not an object of t4")
            for flags in [[], ["--dry-run"], ["--to-end", "--json"]] {
                try await expect(
                    place + ["--store-prefix", "t4/"] + flags, endsWith: 1, saying: "t4: database cannot be read")
            }
            // Where the store would lie inside the new directory there is nothing to restore from.
            try await expect(["--data-dir", data], endsWith: 1, saying: "lies inside the data directory")
            // The place is looked at before the store is read.
            let full = store.url.path
            try await expect(
                place.dropLast() + [full], endsWith: 1, saying: "\(full) is not empty: name another")
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["store"])
        }
    }

    private struct Report: Decodable {
        var revision: Int64
        var dry_run: Bool
        var new_database: Bool
        var parent_database: String
        var database: String?
        var engine: String?
        var data_dir: String?
    }

    private func restore(_ arguments: [String]) async throws -> Report {
        let process = try ChildProcess(
            TestEnvironment.t4Binary(), ["restore", "checkpoint", "--json"] + arguments,
            environment: TestEnvironment.forChildren)
        let status = try await process.wait()
        let errors = process.errors.value.description
        try #require(status == .code(0) && errors == "", "\(arguments): \(errors)")
        return try JSONDecoder().decode(Report.self, from: Data(process.output.value.description.utf8))
    }

    /// Now, to the nanosecond.
    private func now() -> String {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        let seconds = Date(timeIntervalSince1970: Double(time.tv_sec)).formatted(.iso8601).dropLast()
        let digits = String(time.tv_nsec)
        return "\(seconds).\(String(repeating: "0", count: 9 - digits.count))\(digits)Z"
    }

    /// What a server shows of a directory. It then goes on with the next revision.
    private func content(_ data: URL, _ engine: String, _ options: [String]) async throws -> DatabaseState {
        let server = try await ServerUnderTest.start(.t4(engine: engine), dataDirectory: data, options: options)
        let client = try await EtcdClient.connect(to: server)
        let state = try await client.all()
        let next = try await client.put("next", "one")
        #expect(next == state.revision + 1)
        await client.close()
        #expect(try await server.stop() == .code(0))
        return state
    }

    @Test func anyMomentIsRestoredAndServed() async throws {
        let engines = try await TestEnvironment.engines().filter { $0 != "memory" }
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                let place = [
                    "--store-type", "filesystem", "--store-filesystem-path", folder.appending(path: "store").path,
                ]
                let old = place + ["--store-prefix", "old/"]
                let server = try await ServerUnderTest.start(
                    .t4(engine: "memory"), dataDirectory: folder.appending(path: "data"),
                    options: old + ["--checkpoint-entries", "40"])
                let client = try await EtcdClient.connect(to: server)
                var states: [Int64: DatabaseState] = [:]
                var time = ""
                for number in 0..<150 {
                    _ = try await client.put("key\(number % 60)", "value \(number)")
                    if number % 7 == 0 { _ = try await client.delete("key\(number % 60)") }
                    guard number % 50 == 30 else { continue }
                    let state = try await client.all()
                    states[state.revision] = state
                    if number == 80 { time = now() }
                }
                let end = try await client.all()
                await client.close()
                #expect(try await server.stop() == .code(0))

                let atTime = try #require(states.keys.sorted().dropFirst().first)
                var targets = states.keys.sorted().map { (["--to-revision", "\($0)"], $0) }
                targets += [(["--to-time", time], atTime), (["--to-end"], end.revision)]
                states[end.revision] = end
                for (number, (target, revision)) in targets.enumerated() {
                    let engine = engines[number % engines.count]
                    let data = folder.appending(path: "restored \(number)")
                    let arguments = old + target + ["--engine", engine]
                    let plan = try await restore(arguments + ["--dry-run"])
                    #expect(plan.dry_run && plan.revision == revision && plan.database == nil)
                    #expect(!FileManager.default.fileExists(atPath: data.path))
                    let report = try await restore(arguments + ["--data-dir", data.path])
                    #expect(!report.dry_run && report.revision == revision && report.engine == engine)
                    #expect(report.new_database == (target != ["--to-end"]) && report.data_dir == data.path)
                    #expect((report.database == report.parent_database) != report.new_database)
                    let state = try await content(data, engine, place + ["--store-prefix", "new-\(number)/"])
                    #expect(state.revision == revision && state.rows == states[revision]?.rows, "\(target)")
                }

                // On its own prefix a checkpoint goes on to the end, which nobody has moved.
                let data = folder.appending(path: "recovered")
                let report = try await restore(old + ["--engine", engines[0], "--data-dir", data.path])
                #expect(!report.new_database)
                let recovered = try await content(data, engines[0], old)
                #expect(recovered.revision == end.revision && recovered.rows == end.rows)
                let bumped = try await restore(
                    old + ["--to-revision", "\(atTime)", "--bump-revision", "--dry-run"])
                #expect(
                    bumped.new_database && bumped.revision == end.revision + 3, "two above the last, which is \"next\"")
            }
        }
    }
}
