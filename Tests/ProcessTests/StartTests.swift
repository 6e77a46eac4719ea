import Foundation
import T4Conformance
import Testing

/// Goal: t4 starts where it may, refuses where it must, and says why. Method: whole processes on prepared data
/// directories and command lines.
@Suite(.enabled(if: TestEnvironment.subject != .etcd, "about t4 itself"))
struct StartTests {
    private let kind = TestEnvironment.subject

    /// Writes one after the other, so that each is an fsync batch of its own, then kills the server.
    private func write(_ count: Int, to data: URL) async throws {
        // One segment, however long a busy machine takes.
        let server = try await ServerUnderTest.start(
            kind, dataDirectory: data, options: ["--segment-max-age-sec", "3600"])
        let client = try await EtcdClient.connect(to: server)
        for number in 0..<count { _ = try await client.put("key\(number)", "value number \(number)") }
        await client.close()
        await server.crash()
    }

    @Test func aTornTailIsDropped() async throws {
        try await withTemporaryDirectory { folder in
            let data = folder.appending(path: "data")
            try await write(20, to: data)
            // A frame of which only the start reached the disk: a believable length, then what was there before.
            let file = try LogFile.last(in: data)
            try file.overwrite(at: file.end, with: [0x60, 0, 0, 0x80, 1, 2, 3, 4, 5, 6, 7, 8, 9])

            let server = try await ServerUnderTest.start(kind, dataDirectory: data)
            let client = try await EtcdClient.connect(to: server)
            let all = try await client.all()
            #expect(all.revision == 21)
            #expect(all.rows.count == 20)
            // The log goes on behind the place, also over one more restart.
            #expect(try await client.put("after", "1") == 22)
            await client.close()
            await server.crash()
            let again = try await ServerUnderTest.start(kind, dataDirectory: data)
            let second = try await EtcdClient.connect(to: again)
            #expect(try await second.all().revision == 22)
            await again.crash()
        }
    }

    @Test(arguments: [1, 2, 10, 19])
    func aFlippedBitStopsTheStart(_ frame: Int) async throws {
        try await withTemporaryDirectory { folder in
            let data = folder.appending(path: "data")
            try await write(20, to: data)
            let file = try LogFile.last(in: data)
            let frames = file.frames
            try #require(frames.count >= 20)
            let place = frames[frames.count - 1 - frame]
            try file.flipBit(at: place.offset + place.size - 3)

            let process = try ServerUnderTest.launch(kind, dataDirectory: data)
            let status = try await process.wait()
            let said = process.errors.value.description
            #expect(status == .code(1))
            #expect(said.contains(file.url.lastPathComponent), "no file in: \(said)")
            #expect(said.contains("offset \(place.offset)"), "no offset \(place.offset) in: \(said)")
            #expect(!process.output.value.description.contains("ready"))
            // The damaged log is left as it was, for whoever repairs it.
            #expect(try Data(contentsOf: file.url) == Data(file.flipped(at: place.offset + place.size - 3)))
        }
    }

    @Test func aSecondProcessOnTheSameDirectoryIsRefused() async throws {
        try await withTemporaryDirectory { folder in
            let data = folder.appending(path: "data")
            let server = try await ServerUnderTest.start(kind, dataDirectory: data)
            let client = try await EtcdClient.connect(to: server)
            _ = try await client.put("a", "1")
            let second = try ServerUnderTest.launch(kind, dataDirectory: data)
            #expect(try await second.wait() == .code(1))
            let said = second.errors.value.description
            #expect(said.contains(data.path) && said.contains("in use"), "\(said)")
            #expect(try await client.put("a", "2") == 3)
            await client.close()
            await server.crash()
            // A killed process leaves no lock behind.
            let next = try await ServerUnderTest.start(kind, dataDirectory: data)
            await next.crash()
        }
    }

    @Test func aTakenPortIsRefused() async throws {
        try await withTemporaryDirectory { folder in
            let server = try await ServerUnderTest.start(kind, dataDirectory: folder.appending(path: "data"))
            let second = try t4(["run", "--data-dir", folder.appending(path: "other").path, "--listen", server.address])
            #expect(try await second.wait() == .code(1))
            let said = second.errors.value.description
            #expect(said.contains(server.address), "\(said)")
            await server.crash()
        }
    }

    struct Misuse: Sendable, CustomTestStringConvertible {
        var arguments: [String]
        var says: [String]
        var testDescription: String { arguments.joined(separator: " ") }
    }

    @Test(arguments: [
        Misuse(arguments: ["run", "--nonsense", "1"], says: ["--nonsense"]),
        Misuse(arguments: ["run", "--listen", "nowhere"], says: ["--listen", "nowhere"]),
        Misuse(arguments: ["run", "--listen", "127.0.0.1:99999"], says: ["--listen", "99999"]),
        Misuse(arguments: ["run", "--engine", "nosuch"], says: ["nosuch", "lmdb", "memory"]),
        Misuse(arguments: ["run", "--config", "/nonexistent/t4.toml"], says: ["/nonexistent/t4.toml"]),
        Misuse(arguments: ["run", "--data-dir"], says: ["--data-dir"]),
        Misuse(arguments: ["nonsense"], says: ["nonsense"]),
        Misuse(arguments: ["config", "check", "--nonsense", "1"], says: ["--nonsense"]),
        Misuse(arguments: ["config", "check", "--config", "/nonexistent/t4.toml"], says: ["/nonexistent/t4.toml"]),
        Misuse(arguments: ["bench", "--nonsense"], says: ["--nonsense"]),
        Misuse(arguments: ["inspect", "meta", "stray"], says: ["stray"]),
    ])
    func aWrongCommandLineIsNamed(_ misuse: Misuse) async throws {
        try await withTemporaryDirectory { folder in
            let data = folder.appending(path: "data")
            var arguments = misuse.arguments
            if arguments.first == "run", arguments.last != "--data-dir" { arguments += ["--data-dir", data.path] }
            let process = try ChildProcess(
                TestEnvironment.t4Binary(), arguments, environment: TestEnvironment.forChildren)
            let status = try await process.wait()
            #expect(status == .code(64))
            let said = process.errors.value.description
            for word in misuse.says { #expect(said.contains(word), "no '\(word)' in: \(said)") }
            #expect(process.output.value.bytes.isEmpty)
            #expect(!FileManager.default.fileExists(atPath: data.path), "a refused start made a data directory")
        }
    }

    @Test func aWrongConfigurationFileIsNamedWithItsLine() async throws {
        try await withTemporaryDirectory { folder in
            let file = folder.appending(path: "t4.toml")
            let text = "[node]\nid = \"a\"\n\n[wal]\nsegment_max_sise = \"50MiB\"\n"
            try text.write(to: file, atomically: true, encoding: .utf8)
            let data = folder.appending(path: "data").path
            for command in [["run"], ["config", "check"], ["config", "show"]] {
                let process = try t4(command + ["--config", file.path, "--data-dir", data])
                #expect(try await process.wait() == .code(64))
                let said = process.errors.value.description
                for word in ["t4.toml:5", "segment_max_sise", "segment_max_size"] {
                    #expect(said.contains(word), "no '\(word)' in: \(said)")
                }
            }
        }
    }

    private func t4(_ arguments: [String]) throws -> ChildProcess {
        try ChildProcess(TestEnvironment.t4Binary(), arguments, environment: TestEnvironment.forChildren)
    }
}
