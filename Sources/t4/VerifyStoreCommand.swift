import ArgumentParser
import Logging
import T4BuiltIns
import T4Config
import T4Conformance
import T4Core
import T4Protocols

/// `t4 verify-store`: tries the configured object store against every rule that t4 relies on.
struct VerifyStoreCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify-store",
        abstract: "Try the configured object store against every rule of object stores.",
        discussion: """
            Writes, reads and deletes some thousand objects, the largest of 17 MiB, below a fresh name inside the \
            configured prefix, and removes them again. Safe beside running nodes.

            Exit codes: 0 when every rule holds that t4 needs, 1 when one does not or the store cannot be opened, 64 \
            when the command line or the configuration is wrong.
            """)

    @OptionGroup var options: StoreOptions

    @Flag(help: "Print JSON.")
    var json = false

    private struct Report: Encodable {
        var store: String
        var prefix: String
        var holds: Bool
        var rules: [RuleReport]
    }

    private struct RuleReport: Encodable {
        var rule: String
        var holds: Bool
        /// False for what t4 itself never uses.
        var needed: Bool
        var reason: String?
        var seconds: Double
    }

    func run() async throws {
        let store: ConfiguredStore
        do {
            let configuration = try options.configuration()
            try configuration.requirePresentStore(for: "t4 verify-store")
            store = ConfiguredStore(configuration)
            // So that a store that cannot be opened is one message, not one for each rule.
            try await store.check()
        } catch {
            throw fail(error)
        }
        if !json { StandardOutput.writeLine("trying the \(store.type) store below \(store.root)") }
        let subject = try await store.subject()
        var reports: [RuleReport] = []
        for rule in ObjectStoreRules.all + [store.probeRule] {
            let clock = BootClock()
            let start = clock.now
            var report = RuleReport(rule: rule.name, holds: true, needed: rule.isNeeded, seconds: 0)
            do {
                try await rule.check(subject)
            } catch {
                report.holds = false
                report.reason = "\(error)"
            }
            report.seconds = (clock.now - start) / .seconds(1)
            if !json { StandardOutput.writeLine(line(report)) }
            reports.append(report)
        }
        let holds = reports.allSatisfy { $0.holds || !$0.needed }
        if json {
            StandardOutput.writeLine(
                try JSONText.of(Report(store: store.type, prefix: store.root, holds: holds, rules: reports)))
        } else {
            let kept = reports.count { $0.holds }
            StandardOutput.writeLine(
                "\(kept) of \(reports.count) rules hold; "
                    + (holds ? "t4 can use this store" : "t4 cannot rely on this store"))
        }
        if !holds { throw ExitCode.failure }
    }

    private func line(_ report: RuleReport) -> String {
        let verdict = report.holds ? "ok      " : report.needed ? "BROKEN  " : "missing "
        return verdict + report.rule + (report.reason.map { "\n        \($0)" } ?? "")
    }
}

/// The store of a configuration, with a place in it that nobody else uses.
private struct ConfiguredStore {
    let type: String
    /// What the names of everything that is made begin with.
    let root: String
    private let configuration: Configuration
    private let registry = BackendRegistry.builtIn
    private let logger = Logger(label: "t4") { LineLogHandler(label: $0, level: .warning, format: .text) }

    init(_ configuration: Configuration) {
        self.configuration = configuration
        type = configuration.store.type
        root =
            configuration.store.prefix + "verify-store-\(String(UInt64.random(in: 0...UInt64.max), radix: 16))/"
    }

    /// Opens the store and asks it once.
    func check() async throws {
        try await OpenedStore.open(configuration, registry, logger: logger).close()
    }

    /// Opens a client of its own.
    func open(below name: String) async throws -> any ObjectStore {
        PrefixedStore(try await configuration.makeStore(registry, logger: logger), prefix: root + name)
    }

    /// What the rules are run on: each time a place of its own, emptied afterwards.
    func subject() async throws -> StoreUnderTest {
        let store = try await open(below: "")
        let capabilities = store.capabilities
        await store.close()
        let places = Places()
        return StoreUnderTest(name: type, capabilities: capabilities) {
            let name = await "\(places.next())/"
            return StoreStorage(open: { try await open(below: name) }, remove: { try await empty(name) })
        }
    }

    /// Nodes run it when they start, and refuse elections and object-store durability on a store that fails.
    var probeRule: ObjectStoreRule {
        ObjectStoreRule("the probe that nodes run at start finds conditional puts reliable") { subject in
            let storage = try await subject.makeStorage()
            let store = try await storage.open()
            let verdict = try await ConditionalPutProbe.run(on: store)
            await store.close()
            try await storage.remove()
            if verdict != .reliable { throw CommandFailure(description: "\(verdict)") }
        }
    }

    private func empty(_ name: String) async throws {
        let store = try await open(below: name)
        while true {
            let page = try await store.list(prefix: "", after: nil, limit: 1000)
            if !page.objects.isEmpty { try await store.delete(page.objects.map(\.key)) }
            if !page.hasMore { break }
        }
        await store.close()
    }

    private actor Places {
        private var last = 0

        func next() -> Int {
            last += 1
            return last
        }
    }
}
