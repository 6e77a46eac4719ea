import Foundation
import T4Conformance
import Testing

/// Goal: `t4 status --watch` goes on to show what is in a store. Method: a folder that changes meanwhile.
@Suite(.enabled(if: TestEnvironment.subject != .etcd, "about t4 itself"))
struct StatusWatchTests {
    private func launch(_ store: URL, _ flags: [String]) throws -> ChildProcess {
        let place = ["--store-type", "filesystem", "--store-filesystem-path", store.path, "--store-prefix", "t4/"]
        return try ChildProcess(
            TestEnvironment.t4Binary(), ["status"] + place + flags, environment: TestEnvironment.forChildren)
    }

    private func makeStore(_ folder: URL) throws -> (store: StoreFolder, url: URL) {
        let url = folder.appending(path: "store")
        let store = try StoreFolder(url)
        try store.put("t4/database", database)
        try store.put("t4/wal/00000000000000000001", "x")
        return (store, url)
    }

    private let database = """
        {"created":1,"database":"000102030405060708090a0b0c0d0e0f","format":1,"sum":"\
        1630612f89c67d54533c140fa4876a5d888aea78ab95de96f2dc511f1f49910b"}
        """

    @Test(arguments: [["--watch=100ms"], ["--watch", "100ms"]])
    func itShowsWhatChanges(_ flags: [String]) async throws {
        try await withTemporaryDirectory { folder in
            let (store, url) = try makeStore(folder)
            let process = try launch(url, flags)
            try await process.output.untilSaid("  WAL segments: 1\n")
            try store.put("t4/wal/00000000000000000009", "y")
            try await process.output.untilSaid("  WAL segments: 2\n")
            // Each report has its time.
            let said = process.output.value.description
            let times = said.matches(of: /\n\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\nStore status file:/)
            #expect(times.count >= 2, "\(said)")
            #expect(process.isRunning)
            process.signal(SIGINT)
            #expect(try await process.wait() == .signal(SIGINT))
        }
    }

    @Test func itGoesOnWhenTheStoreIsAwayForAWhile() async throws {
        try await withTemporaryDirectory { folder in
            let (store, url) = try makeStore(folder)
            let process = try launch(url, ["--watch=100ms", "--json"])
            try await process.output.untilSaid("\"wal_segments\"")
            try store.put("t4/manifest/latest", "damaged")
            try await process.errors.untilSaid("t4: ")
            try FileManager.default.removeItem(at: url.appending(path: "objects/t4/manifest/latest="))
            try store.put("t4/wal/00000000000000000009", "y")
            try await process.output.untilSaid("\"objects\" : 2")
            process.signal(SIGKILL)
            _ = try await process.wait()
        }
    }

    /// Without a number it waits for two seconds: the first report comes at once.
    @Test func theTimeMayBeLeftOut() async throws {
        try await withTemporaryDirectory { folder in
            let (_, url) = try makeStore(folder)
            let process = try launch(url, ["--watch"])
            try await process.output.untilSaid("Branch forks")
            process.signal(SIGKILL)
            _ = try await process.wait()
        }
    }

    @Test(arguments: ["--watch=0", "--watch=50ms", "--watch=soon"])
    func wrongTimesAreRefused(_ flag: String) async throws {
        let process = try launch(URL(filePath: "/nowhere"), [flag])
        #expect(try await process.wait() == .code(64))
        #expect(process.errors.value.description.contains("--watch takes a time of 100ms or more"))
    }
}
