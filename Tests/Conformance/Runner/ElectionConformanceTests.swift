import Foundation
import Logging
import T4BuiltIns
import T4Conformance
import T4Core
import T4Protocols
import Testing

extension BuiltIn {
    /// The elections that need no server.
    static let elections = [
        election("memory"), election("standalone", isShared: false), fileLock,
        ElectionUnderTest(name: "object-store (memory)") { try await electionPlace(over: memoryStore) },
        ElectionUnderTest(name: "object-store (filesystem, all wrappers)") {
            try await electionPlace(
                over: filesystemStore().wrapped("all wrappers") {
                    MeteredStore(RetryingStore(ThrottledStore(PrefixedStore($0, prefix: "a/b"), parallelMax: 4))) { _ in
                    }
                })
        },
        // A store that loses answers to reads, and refuses now and then.
        ElectionUnderTest(name: "object-store (faulty)") {
            try await electionPlace(
                over: memoryStore.wrapped("retrying over faulty") { base in
                    let refusals = [StoreFault(nil, .beforeEffect, .random(0.2))]
                    let lostAnswers = [.get, .info, .list].map { StoreFault($0, .afterEffect, .random(0.2)) }
                    return RetryingStore(
                        FaultyStore(base, faults: refusals + lostAnswers, seed: 7), timer: .impatient)
                })
        },
        // Answers to swaps are lost as well: what is there tells.
        ElectionUnderTest(name: "object-store (answers lost)") {
            try await electionPlace(
                over: memoryStore.wrapped("losing answers") { base in
                    let lost = StoreFault(
                        .put, prefix: StoreLayout.election.rawValue, .afterEffect, .random(0.5), error: .outcomeUnknown)
                    return FaultyStore(base, faults: [lost], seed: 7)
                })
        },
    ]

    static func election(_ name: String, isShared: Bool = true) -> ElectionUnderTest {
        ElectionUnderTest(name: name, isShared: isShared) {
            // The elections of one registry share what they have in memory.
            let registry = BackendRegistry.builtIn
            return ElectionPlace(open: { try await openElection(name, registry: registry) }, remove: {})
        }
    }

    /// Each node with a registry of its own, as in processes of their own.
    private static let fileLock = ElectionUnderTest(name: "file-lock") {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("t4-election-\(UUID().uuidString)")
        return ElectionPlace(
            open: { try await openElection("file-lock", #"{"path": "\#(folder.path)"}"#) },
            remove: { try FileManager.default.removeItem(at: folder) })
    }

    static func openElection(
        _ name: String, _ settings: String = "{}", store: (any ObjectStore)? = nil, registry: BackendRegistry = .builtIn
    ) async throws -> any Election {
        var logger = Logger(label: "conformance")
        logger.logLevel = .critical
        return try await registry.makeElection(
            name, settings: JSONSettings(settings),
            context: ElectionContext(dataDirectory: "/nonexistent", store: store, logger: logger))
    }

    private static func electionPlace(over store: StoreUnderTest) async throws -> ElectionPlace {
        let storage = try await store.makeStorage()
        return ElectionPlace(
            open: { try await openElection("object-store", store: storage.open()) }, remove: storage.remove)
    }
}

/// Goal: every election of this build keeps every rule of `Election`. Method: the public suite, on a fresh place each.
@Suite struct ElectionConformanceTests {
    @Test(arguments: BuiltIn.elections, ElectionRules.all)
    func holds(_ election: ElectionUnderTest, _ rule: ElectionRule) async throws {
        try await rule.check(election)
    }

    @Test func aRunReportsEachRule() async {
        let rules = [
            ElectionRule("first") { _ in }, ElectionRule("second") { _ in throw RuleViolation("as it should not be") },
        ]
        let report = await ElectionConformance.run(BuiltIn.election("memory"), rules: rules)
        #expect(report.results.map(\.outcome) == [.passed, .broken("as it should not be")])
        #expect(Set(ElectionRules.all.map(\.name)).count == ElectionRules.all.count)
    }

    @Test func settingsAreChecked() async throws {
        for settings in ["{}", #"{"path": ""}"#] {
            await #expect(throws: DecodingError.self) { _ = try await BuiltIn.openElection("file-lock", settings) }
        }
        let error = await #expect(throws: ElectionError.self) { _ = try await BuiltIn.openElection("object-store") }
        #expect(error?.code == .invalidArgument && error?.message.contains("set [store]") == true)
        let plain = await #expect(throws: ElectionError.self) {
            let refusal = StoreFault(.put, prefix: "probe/", .beforeEffect, .nth(1), error: .unsupported)
            let store = FaultyStore(try await BuiltIn.memoryStore.makeStorage().open(), faults: [refusal])
            _ = try await BuiltIn.openElection("object-store", store: store)
        }
        #expect(plain?.code == .unsupported, "\(plain as Any)")
        // Conditions that are not kept would make two leaders.
        let broken = await #expect(throws: ElectionError.self) {
            let store = try await BuiltIn.memoryStore.makeStorage().open()
            _ = try await BuiltIn.openElection("object-store", store: BrokenStore(store, .looksThenCreates))
        }
        #expect(broken?.code == .unsupported, "\(broken as Any)")
        #expect(broken?.message.contains("exactly one wins") == true, "\(broken as Any)")
    }

    /// The rules see what is wrong with an election.
    @Test(arguments: ElectionDefect.allCases)
    func isCaught(_ defect: ElectionDefect) async throws {
        let rule = try #require(ElectionRules.all.first { $0.name.hasPrefix(defect.rawValue) })
        try await rule.check(BuiltIn.election("memory"))
        let subject = BuiltIn.election("memory").wrapped("\(defect)") { BrokenElection($0, defect) }
        // A rule fails with a violation, or with an error that the election threw instead of working.
        await #expect(throws: (any Error).self) { try await rule.check(subject) }
    }
}
