import Foundation
import Testing

/// Goal: `t4 restore checkpoint` says what keeps it from restoring, and leaves nothing behind then.
@Suite(.enabled(if: TestEnvironment.subject != .etcd, "about t4 itself"))
struct RestoreCheckpointTests {
    /// Runs the command; checks code and messages, and that it printed no result.
    private func expect(_ arguments: [String], endsWith code: Int32, saying text: String) async throws {
        let process = try ChildProcess(
            TestEnvironment.t4Binary(), ["restore", "checkpoint"] + arguments, environment: TestEnvironment.forChildren)
        let status = try await process.wait(within: .seconds(60))
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
            try await expect(
                place.dropLast() + [folder.path], endsWith: 1,
                saying: "\(folder.path) is not empty: restore into another")
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["store"])
        }
    }
}
