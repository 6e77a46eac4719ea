import EtcdAPI
import Foundation
import RPC
import T4Conformance
import Testing

/// Goal: a disk that is really full turns writes into an error that etcd's clients know, keeps reads, and is forgotten as
/// soon as there is space, without a restart; and a start on a full disk says so and harms nothing.
/// Method: t4 on a small memory disk of its own, which a shell in the same mount namespace fills and empties.
@Suite(
    .enabled(if: TestEnvironment.subject != .etcd, "about t4 itself"),
    .enabled("no mounts are permitted here: as with T4_TEST_SLOW=1, left to machines that can") {
        try await SmallMount.isPermitted()
    })
struct FullDiskTests {
    private static let noSpace = "etcdserver: mvcc: database space exceeded"
    /// Stays free for what is under way, so that less of it refuses writes.
    private static let reserve = 64

    @Test(arguments: try await TestEnvironment.subjectsOfCrashTests())
    func writesAreRefusedUntilThereIsSpace(_ kind: ServerUnderTest.Kind) async throws {
        guard case .t4(let engine) = kind else { return }
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                let mount = try await SmallMount(on: folder, megabytes: 300)
                do {
                    try await Self.run(mount, engine: engine ?? "lmdb")
                } catch {
                    await mount.remove()
                    throw error
                }
                await mount.remove()
            }
        }
    }

    private static func run(_ mount: SmallMount, engine: String) async throws {
        var client = try await mount.start(engine: engine)
        var expected: [String: String] = [:]
        func put(_ key: String, _ value: String) async throws {
            _ = try await client.put(key, value)
            expected[key] = value
        }
        func isReadable() async throws {
            let rows = try await client.all().rows
            #expect(Dictionary(uniqueKeysWithValues: rows.map { ($0.key, $0.value) }) == expected)
        }
        for key in ["a", "b", "c"] { try await put(key, "before") }

        // Enough is left for what frees space.
        try await mount.fill(leaving: reserve / 2)
        #expect(await refusal { _ = try await client.put("a", "x") } == noSpace)
        #expect(await refusal { _ = try await client.putAll([(key: "a", value: "x")]) } == noSpace)
        _ = try await client.delete("b")
        expected["b"] = nil
        try await isReadable()
        #expect(try await mount.pauses() == ["disk_nearly_full"])

        // Not a byte.
        try await mount.fill(leaving: 0)
        #expect(await refusal { _ = try await client.put("a", "x") } == noSpace)
        #expect(await refusal { _ = try await client.delete("a") } == noSpace)
        #expect(await refusal { try await client.compact(to: 2) } == noSpace)
        if try await mount.pauses().contains("disk_full") {
            let defragment = EtcdDefragmentRequest()
            #expect(
                await refusal {
                    _ = try await client.call("Maintenance/Defragment", defragment, EtcdDefragmentResponse.self)
                } == noSpace)
        }
        try await isReadable()

        // Once there is space, in the same process. An engine that met the full disk itself looks for it now and then.
        try await mount.empty()
        let deadline = ContinuousClock.now + .seconds(300)
        while let refusal = await refusal({ try await put("d", "after") }) {
            #expect(refusal == noSpace)
            if ContinuousClock.now > deadline { throw TimedOut(description: "writes are still refused: \(refusal)") }
        }
        try await isReadable()
        #expect(try await mount.pauses() == [])

        try await mount.fill(leaving: 0)
        await client.close()
        #expect(try await mount.kill() == 137)
        let failed = try await mount.startAndFail(engine: engine)
        #expect(failed.status == 1 && failed.said.contains("No space left on device"), "\(failed)")
        try await mount.empty()
        client = try await mount.start(engine: engine)
        try await isReadable()
        try await put("e", "after the restart")
        try await isReadable()
        await client.close()
    }

    /// What a call was refused with; nil when it was not.
    private static func refusal(_ call: () async throws -> Void) async -> String? {
        do {
            try await call()
            return nil
        } catch let status as RPCStatus where status.code == .resourceExhausted {
            return status.message
        } catch {
            return "\(error)"
        }
    }
}

/// A disk in memory in a mount namespace of its own, with a shell inside that starts t4 and fills the disk.
private final class SmallMount: Sendable {
    private let shell: ChildProcess
    private let folder: URL
    private let steps = Observed(0)
    private let port = Observed(0)

    /// Whether namespaces and mounts in them are permitted.
    static func isPermitted() async throws -> Bool {
        let process = try ChildProcess(
            "/usr/bin/env", ["unshare", "-Urm", "mount", "-t", "tmpfs", "tmpfs", "/tmp"],
            environment: TestEnvironment.forChildren)
        return try await process.wait() == .code(0)
    }

    init(on folder: URL, megabytes: Int) async throws {
        self.folder = folder
        var environment = TestEnvironment.forChildren
        environment["DISK"] = folder.path
        environment["T4"] = try TestEnvironment.t4Binary()
        shell = try ChildProcess("/usr/bin/env", ["unshare", "-Urm", "sh", "-s"], environment: environment)
        // One stream: what is said before a command ends stands before its end.
        _ = try await run("exec 2>&1; mount -t tmpfs -o size=\(megabytes)m tmpfs $DISK")
    }

    /// Runs a command line in the shell.
    /// - Returns: Its exit status and what was said meanwhile.
    @discardableResult
    private func run(_ line: String) async throws -> (status: Int32, said: String) {
        let number = steps.update { count in
            count += 1
            return count
        }
        let before = shell.output.value.description.count
        shell.write(Array((line + "\necho \"step \(number) ended with $?\"\n").utf8))
        let status = try await shell.output.wait(for: "the end of: \(line)") { said in
            if said.ended { throw TimedOut(description: "the shell ended in: \(line); it said \(said)") }
            let end = said.description.split(separator: "\n").last { $0.hasPrefix("step \(number) ended with ") }
            return end.flatMap { Int32($0.split(separator: " ").last ?? "") }
        }
        return (status, String(shell.output.value.description.dropFirst(before)))
    }

    private func command(_ engine: String) -> String {
        "$T4 run --data-dir $DISK/data --listen 127.0.0.1:0 --engine \(engine) < /dev/null"
    }

    /// Starts t4 and connects to it.
    func start(engine: String) async throws -> EtcdClient {
        let before = shell.output.value.description.count
        try await run(command(engine) + " & pid=$!")
        let port = try await shell.output.wait(for: "t4 to be ready") { said in
            let ready = /t4 is ready: etcd endpoint http:\/\/127\.0\.0\.1:(?<port>[0-9]+)\n/
            return said.description.dropFirst(before).firstMatch(of: ready).flatMap { Int($0.port) }
        }
        self.port.update { $0 = port }
        return try await EtcdClient.connect(port: port)
    }

    /// Why writes are refused just now, as the metrics say.
    func pauses() async throws -> Set<String> {
        let text = try await WebClient(port: port.value).answer("GET", "/metrics").body
        let reason = /t4_writes_paused\{reason="(?<reason>[a-z_]+)"\} 1/
        return Set(text.matches(of: reason).map { String($0.reason) })
    }

    /// Starts t4 where it cannot start.
    func startAndFail(engine: String) async throws -> (status: Int32, said: String) {
        try await run(command(engine))
    }

    /// Kills t4, and gives the shell's word for how it ended.
    func kill() async throws -> Int32 { try await run("kill -9 $pid; wait $pid").status }

    /// Leaves so many MiB, or with 0 not a byte.
    func fill(leaving megabytes: Int) async throws {
        if megabytes == 0 {
            try await run("dd if=/dev/zero of=$DISK/fill2 bs=64k 2>/dev/null")
        } else {
            let kilobytes = megabytes << 10
            try await run("fallocate -l $(($(df -k --output=avail $DISK | tail -1) - \(kilobytes)))K $DISK/fill1")
        }
    }

    /// Removes what filled the disk.
    func empty() async throws { try await run("rm -f $DISK/fill1 $DISK/fill2") }

    /// Ends everything; the disk goes with the last process.
    func remove() async { await shell.destroy() }
}
