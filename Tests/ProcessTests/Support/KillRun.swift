import Foundation
import T4Conformance
import Testing

/// Kills t4 at one kill point, and checks that nothing came of it but what may.
struct KillRun: Sendable {
    let kill: KillCase
    let service: S3Service
    private let folder: URL
    private let place: StorePlace

    static func run(_ kill: KillCase) async throws {
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                let place = try await StorePlace(.s3, in: folder)
                let service = try #require(place.service)
                try await KillRun(kill: kill, service: service, folder: folder, place: place).run()
            }
        }
    }

    private func run() async throws {
        switch kill.point.victim {
        case .node: try await killNode()
        case .collectingNode: try await killCollectingNode()
        case .firstStart: try await killFirstStart()
        case .refill: try await killRefill()
        case .branchStart: try await killBranchStart()
        case .promotion: try await killPromotion()
        case .collection: try await killCollection()
        case .restore: try await killRestore()
        case .fork: try await killFork()
        case .unfork: try await killUnfork()
        }
    }

    func newHistory() -> History { History(Load(writers: 16, seed: TestEnvironment.seed)) }

    /// What failures name.
    func context(_ moment: String) -> String { "\(kill.testDescription), \(moment), seed \(TestEnvironment.seed)" }

    // MARK: - Processes

    func directory(_ name: String) -> URL { folder.appending(path: name) }
    var data: URL { directory("data") }

    /// How many writes a checkpoint comes after.
    static let often = ["--checkpoint-entries", "40"]
    /// No checkpoint but the one at the start.
    static let once = ["--checkpoint-interval-min", "0"]
    private static let collecting = ["--checkpoint-keep", "1", "--checkpoint-retain", "0s"]

    func flags(_ prefix: String = "t4/") -> [String] { place.flags(prefix) }

    private func options(_ checkpoints: [String], collects: Bool, prefix: String) -> [String] {
        flags(prefix) + checkpoints + (collects ? KillRun.collecting : ["--checkpoint-collect=false"])
    }

    func start(
        _ checkpoints: [String], collects: Bool = false, prefix: String = "t4/", _ more: [String] = [],
        in directory: URL? = nil,
    ) async throws -> ServerUnderTest {
        try await ServerUnderTest.start(
            .t4(engine: nil), dataDirectory: directory ?? data,
            options: options(checkpoints, collects: collects, prefix: prefix) + more, environment: place.environment)
    }

    /// Starts a node and kills it at the kill point, perhaps before it serves.
    func killStart(
        _ checkpoints: [String], prefix: String = "t4/", _ more: [String] = [], in directory: URL? = nil,
    ) async throws -> RequestTrap {
        let trap = try await arm()
        let process = try ServerUnderTest.launch(
            .t4(engine: nil), dataDirectory: directory ?? data,
            options: options(checkpoints, collects: false, prefix: prefix) + more, environment: place.environment)
        return try await spring(trap, process)
    }

    /// Runs a command of t4.
    /// - Returns: What it printed, errors too.
    func t4(_ arguments: [String]) async throws -> (status: ExitStatus, text: String) {
        let process = try command(arguments)
        let status = try await process.wait()
        return (status, process.output.value.description + process.errors.value.description)
    }

    /// Runs a command of t4 that must succeed.
    @discardableResult
    func succeed(_ arguments: [String], _ location: SourceLocation = #_sourceLocation) async throws -> String {
        let (status, text) = try await t4(arguments)
        try #require(status == .code(0), "\(arguments): \(text)", sourceLocation: location)
        return text
    }

    /// Starts a command of t4 and kills it at the kill point.
    func killCommand(_ arguments: [String]) async throws -> RequestTrap {
        let trap = try await arm()
        return try await spring(trap, try command(arguments))
    }

    private func command(_ arguments: [String]) throws -> ChildProcess {
        try ChildProcess(
            TestEnvironment.t4Binary(), arguments,
            environment: TestEnvironment.forChildren.merging(place.environment) { $1 })
    }

    // MARK: - Requests

    func arm() async throws -> RequestTrap {
        try await service.trap(
            kill.point.previous ?? kill.point.request, number: kill.number,
            kill.point.previous == nil ? moment : .before)
    }

    /// Waits for the request, kills who sent it, and decides what becomes of it, unless it is to be late.
    func spring(_ trap: RequestTrap, _ process: ChildProcess) async throws -> RequestTrap {
        var held = trap
        do {
            try await trap.caught()
            if kill.point.previous != nil {
                held = try await service.trap(kill.point.request, moment)
                try await trap.letGo()
                try await held.caught()
            }
        } catch {
            await process.destroy()
            throw ProcessFailure("\(error)\nstdout:\n\(process.output.value)\nstderr:\n\(process.errors.value)")
        }
        await process.destroy()
        switch kill.ending {
        case .dropped: try await held.drop()
        case .landsAtOnce, .carriedOut: try await held.letGo()
        case .landsBetween, .landsLate: break
        }
        return held
    }

    private var moment: RequestTrap.Moment { kill.ending == .carriedOut ? .after : .before }

    /// The late request comes.
    func land(_ held: RequestTrap) async throws {
        if kill.ending == .landsLate { try await held.letGo() }
    }

    /// Does what sends such a request again; where the first is to land between, the second waits for it.
    func again<Result: Sendable>(
        _ held: RequestTrap, _ body: @Sendable () async throws -> Result
    ) async throws -> Result {
        guard kill.ending == .landsBetween else { return try await body() }
        let next = try await service.trap(kill.point.request, .before)
        async let landing: Void = {
            try await next.caught()
            try await held.letGo()
            try await next.letGo()
        }()
        let result = try await body()
        try await landing
        return result
    }

    /// Starts a node that goes on after the kill. A part of the log that lands after it has looked for the end of the log may
    /// make it give up, once.
    func startAgain(_ start: @Sendable () async throws -> ServerUnderTest) async throws -> ServerUnderTest {
        do {
            return try await start()
        } catch let failed as StartFailed {
            let isExpected = failed.description.contains("this one must be started again")
            guard kill.ending == .landsBetween, isExpected else { throw failed }
            return try await start()
        }
    }

    /// Waits until a node has made so many more checkpoints.
    func waitForCheckpoints(_ count: Int) async throws {
        let trap = try await service.trap(KillPoint.newHead, number: count, .after)
        try await trap.caught()
        try await trap.letGo()
    }

    /// Starts a node and waits for the checkpoint that each makes at its start.
    func startWithCheckpoint(_ checkpoints: [String]) async throws -> ServerUnderTest {
        let trap = try await service.trap(KillPoint.newHead, .after)
        let server = try await start(checkpoints)
        try await trap.caught()
        try await trap.letGo()
        return server
    }

    // MARK: - Judgement

    /// Checks that nothing in the store is damaged or missing.
    func verify(_ prefix: String = "t4/", at moment: String) async throws {
        let (status, text) = try await t4(["verify", "--deep"] + flags(prefix))
        #expect(status == .code(0) && text.contains("\nNothing is wrong\n"), "\(context(moment)): \(text)")
    }

    func lose(_ directory: URL) throws {
        if kill.losesDisk { try remove(directory) }
    }

    /// Removes a data directory. A node that was killed early enough has made none.
    func remove(_ directory: URL) throws {
        if FileManager.default.fileExists(atPath: directory.path) { try FileManager.default.removeItem(at: directory) }
    }

    /// With a disk or without, and then from the store alone, a node has all that was acknowledged.
    func checkSurvival(_ history: inout History, seen: [Change]) async throws {
        try await verify(at: "after the kill")
        try lose(data)
        let server = try await start(KillRun.often)
        try await history.check(server, seen: seen, context("after the kill"))
        await server.crash()
        try await checkStore(&history)
    }

    /// The store alone has all that was acknowledged.
    func checkStore(_ history: inout History) async throws {
        try remove(data)
        let server = try await start(KillRun.often)
        try await history.check(server, seen: [], context("from the store"))
        #expect(try await server.stop() == .code(0))
        try await verify(at: "the end")
    }
}
