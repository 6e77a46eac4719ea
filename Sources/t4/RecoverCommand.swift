import ArgumentParser
import FoundationEssentials
import Logging
import RPC
import T4BuiltIns
import T4Config
import T4Core
import T4Protocols

/// `t4 recover`: lets a cluster go on whose nodes in sync are gone for good.
struct RecoverCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "recover",
        abstract: "Let a cluster go on that has lost all disks of the nodes in sync.",
        usage: "t4 recover [--accept-data-loss] [--json] [--config FILE] [SETTINGS]",
        discussion: """
            For a cluster whose nodes say that nobody may take over, and whose nodes in sync will not come back. What was \
            acknowledged last is then on no disk that is left. Takes the settings of `t4 run`, best all of them: it looks \
            at the object store and at the data directory, and says which of the two has more, up to when, and who is \
            missed. Changes nothing without --accept-data-loss.

            Stop all nodes first. Run it for the data directory of each node that is left, and then with \
            --accept-data-loss for the one that has most, or for any where the object store has more. After that start \
            the nodes again, that one first. Nodes that were in sync and come back after all set their directories aside.

              --accept-data-loss
                  Gives up what was acknowledged and is not in what was found.
              --json
                  Print JSON.
              --config FILE
                  Reads settings from a TOML file. Environment: T4_CONFIG.
              SETTINGS
                  As of t4 run, see t4 run --help.

            Exit codes: 0 when it was looked, or done; 1 when there is nothing to recover or it cannot be done, and \
            nothing was changed; 64 when the command line or the configuration is wrong.
            """)

    @Argument(parsing: .captureForPassthrough, help: .hidden)
    var arguments: [String] = []

    private struct Report: Encodable {
        struct Log: Encodable {
            var term: UInt64
            var index: UInt64
            /// When its last entry was committed.
            var time: String?
        }

        struct Leader: Encodable {
            var node: String
            var address: String
            var term: UInt64
        }

        var store: String
        var data_directory: String
        var leader: Leader
        /// The instances of which one would have everything.
        var in_sync: [String]
        var log_in_store: Log
        /// Nil where there is no data directory.
        var log_on_disk: Log?
        var begins_with: String
        var recovered: Bool
    }

    func run() async throws {
        if arguments.contains("--help") || arguments.contains("-h") {
            return StandardOutput.writeLine(RecoverCommand.helpMessage())
        }
        let own = ["--accept-data-loss", "--json"]
        let (accepts, json) = (arguments.contains(own[0]), arguments.contains(own[1]))
        let report: Report
        do {
            let source = try ConfigurationSource(arguments: arguments.filter { !own.contains($0) })
            let configuration = try source.load(.builtIn)
            try configuration.requirePresentStore(for: "t4 recover")
            if configuration.peer.isReadOnly {
                throw CommandFailure(
                    description: "a read-only node (peer.read_only) never leads: recover with the settings of one that "
                        + "may")
            }
            for warning in configuration.warnings { StandardError.write("t4: warning: \(warning)\n") }
            report = try await recover(configuration, accepts)
        } catch {
            throw fail(error)
        }
        StandardOutput.writeLine(try json ? JSONText.of(report) : text(report))
    }

    private func recover(_ configuration: Configuration, _ accepts: Bool) async throws -> Report {
        let logger = Logger(label: "t4") { LineLogHandler(label: $0, level: .warning, format: .text) }
        let opened = try await OpenedStore.open(configuration, .builtIn, logger: logger)
        do {
            let election = try await OpenedCluster.openElection(configuration, on: opened.root, .builtIn, logger)
            if let record = try await election.current() { try await requireSilence(of: record) }
            let report = try await SystemThread.run("command") {
                try RecoverCommand.recover(configuration, opened, election, accepts)
            }
            await opened.close()
            return report
        } catch {
            await opened.close()
            throw opened.explained(error)
        }
    }

    private static func recover(
        _ configuration: Configuration, _ opened: OpenedStore, _ election: any Election, _ accepts: Bool
    ) throws -> Report {
        let store = BlockingStore(opened.store)
        guard let database = try DatabaseObject.read(store)?.id else {
            throw CommandFailure(description: "there is no database at \(opened.displayName)")
        }
        let recovery = ClusterRecovery(election, store, database)
        let path = configuration.node.dataDirectory
        return try ClusterRecovery.withDisk(at: path, of: database) { disk in
            let found = try recovery.look(at: disk)
            if accepts { try recovery.takeOver(found, name: configuration.node.id) }
            return Report(
                store: opened.displayName, data_directory: path,
                leader: .init(node: found.record.nodeID, address: found.record.address, term: found.record.term),
                in_sync: found.record.inSyncSet, log_in_store: log(found.stored, found.storedTime),
                log_on_disk: disk.map { log($0.end, $0.time) },
                begins_with: found.isDiskAhead ? "data directory" : "object store", recovered: accepts)
        }
    }

    private static func log(_ end: LogPosition, _ time: UInt64) -> Report.Log {
        .init(
            term: end.term, index: end.index, time: time == 0 ? nil : "\(Timestamp(nanoseconds: time))")
    }

    /// The leader of the record would go on acknowledging what is lost then.
    private func requireSilence(of record: LeaderRecord) async throws {
        if record.address.isEmpty, !record.isResigned {
            StandardError.write(
                "t4: warning: node \(record.nodeID) ran alone, and nobody can be asked whether it still does: make sure that "
                    + "it is stopped\n")
        }
        guard let address = ListenAddress(record.address), !record.isResigned else { return }
        do {
            var settings = RPCClientConfiguration()
            settings.connectTimeout = .seconds(2)
            let client = try await RPCClient.connect(host: address.host, port: address.port, configuration: settings)
            await client.close()
        } catch {
            // Nobody is there.
            return
        }
        throw CommandFailure(
            description: "something listens on \(record.address), where node \(record.nodeID) led: stop all nodes "
                + "first, for one that still leads would go on acknowledging what is then lost")
    }

    private func text(_ report: Report) -> String {
        func line(_ log: Report.Log?) -> String {
            log.map { "entry \($0.index), term \($0.term)" + ($0.time.map { ", \($0)" } ?? "") } ?? "(none)"
        }
        let end = report.begins_with == "data directory" ? report.log_on_disk : report.log_in_store
        var lines = [
            "Leader of term \(report.leader.term): \(report.leader.node)"
                + (report.leader.address.isEmpty ? ", alone" : " at \(report.leader.address)"),
            "  nodes in sync, none of which is left: \(report.in_sync.joined(separator: ", "))", "", "What is left",
            "  object store: \(line(report.log_in_store))", "  data directory: \(line(report.log_on_disk))", "",
        ]
        let lost = end?.time.map { "what was acknowledged after \($0)" } ?? "everything that was acknowledged"
        if report.recovered {
            lines += [
                "Recovered: the cluster begins with what the \(report.begins_with) has. Lost is \(lost).",
                report.begins_with == "data directory"
                    ? "Start the node of this data directory first." : "Start the nodes again.",
            ]
        } else {
            lines += [
                "The \(report.begins_with) has more. With --accept-data-loss the cluster begins with that; lost would be",
                "\(lost), unless the data directory of another node has it: look at all of them first.",
            ]
        }
        return lines.joined(separator: "\n")
    }
}
