import EtcdAPI
import FoundationEssentials
package import RPC
import SwiftProtobuf
import Synchronization
package import T4Core
import T4Protocols

/// An etcd that is followed: one connection at a time, made again and logged in again when it is lost.
package final class EtcdSource: Sendable {
    /// Who asks.
    package struct User: Sendable {
        package var name: String
        package var password: String

        package init(name: String, password: String) {
            self.name = name
            self.password = password
        }
    }

    /// What the source says of itself.
    package struct Status: Hashable, Sendable {
        /// Its cluster.
        package var cluster: UInt64
        /// The newest revision.
        package var revision: Revision
    }

    private struct Session {
        var client: RPCClient
        var metadata: [(String, String)] = []
    }

    private static let timeout = Duration.seconds(10)
    private static let watchMethod = "/etcdserverpb.Watch/Watch"
    private static let snapshotMethod = "/etcdserverpb.Maintenance/Snapshot"
    /// etcd refuses a token in these words.
    private static let tokenRefusals = [
        "etcdserver: invalid auth token", "etcdserver: revision of auth store is old",
    ]

    private let connect: @Sendable () async throws -> RPCClient
    private let user: User?
    private let session = Mutex<Session?>(nil)

    /// - Parameters:
    ///   - connect: Makes a connection; called again when that is lost.
    ///   - user: Nil for a source without authentication. Otherwise a user with the role root.
    package init(user: User?, connect: @escaping @Sendable () async throws -> RPCClient) {
        self.connect = connect
        self.user = user
    }

    /// Closes the connection.
    package func close() async {
        let open = session.withLock { session in
            defer { session = nil }
            return session
        }
        await open?.client.close()
    }

    /// Whether the same may work a while later.
    package static func isPassing(_ error: any Error) -> Bool {
        switch error {
        case is RPCError: true
        case let status as RPCStatus:
            [.unavailable, .deadlineExceeded, .resourceExhausted, .aborted].contains(status.code)
        default: false
        }
    }

    // MARK: Questions

    /// Of the newest state that anybody has been told of.
    package func status() async throws -> Status {
        let answer = try await range(at: .none)
        return Status(cluster: answer.header.clusterID, revision: Revision(answer.header.revision))
    }

    /// Whether a revision can still be read.
    func hasHistory(of revision: Revision) async throws -> Bool {
        do {
            _ = try await range(at: revision)
            return true
        } catch let status as RPCStatus where status.code == .outOfRange && status.message.contains("compacted") {
            return false
        }
    }

    /// The version of a key at a revision; nil when it did not exist then.
    func version(of key: [UInt8], at revision: Revision) async throws -> EtcdKeyValue? {
        var request = EtcdRangeRequest()
        request.key = Data(key)
        request.revision = revision.rawValue
        return try await call("KV/Range", request, EtcdRangeResponse.self).kvs.first
    }

    /// The ids of all leases.
    func leases() async throws -> [Int64] {
        try await call("Lease/LeaseLeases", EtcdLeaseLeasesRequest(), EtcdLeaseLeasesResponse.self).leases.map(\.id)
    }

    /// The lease as it was granted; nil when there is none of that id any more.
    func lease(_ id: Int64) async throws -> LeaseRecord? {
        var request = EtcdLeaseTimeToLiveRequest()
        request.id = id
        let answer: EtcdLeaseTimeToLiveResponse
        do {
            answer = try await call("Lease/LeaseTimeToLive", request, EtcdLeaseTimeToLiveResponse.self)
        } catch let status as RPCStatus where status.code == .notFound {
            return nil
        }
        return answer.grantedTtl > 0 ? LeaseRecord(id: id, ttl: answer.grantedTtl) : nil
    }

    /// The revision of users, roles and whether they count.
    func authRevision() async throws -> UInt64 {
        try await call("Auth/AuthStatus", EtcdAuthStatusRequest(), EtcdAuthStatusResponse.self).authRevision
    }

    private func range(at revision: Revision) async throws -> EtcdRangeResponse {
        var request = EtcdRangeRequest()
        request.key = Data([0])
        request.rangeEnd = Data([0])
        request.limit = 1
        request.keysOnly = true
        request.revision = revision.rawValue
        return try await call("KV/Range", request, EtcdRangeResponse.self)
    }

    // MARK: Streams

    /// Starts watching all keys.
    func watch(from revision: Revision) async throws -> SourceWatch {
        var create = EtcdWatchCreateRequest()
        create.key = Data([0])
        create.rangeEnd = Data([0])
        create.startRevision = revision.rawValue
        var request = EtcdWatchRequest()
        request.createRequest = create
        let message = try request.encoded()
        let session = try await open()
        let watch = SourceWatch()
        let call = session.client.stream(
            session.client.method(EtcdSource.watchMethod), metadata: session.metadata
        ) { _ in watch }
        watch.begin(call)
        call.send(message)
        return watch
    }

    /// Starts a call for the whole database.
    func snapshot() async throws -> SourceSnapshot { try await snapshot(EtcdSource.snapshotMethod) }

    /// Takes a backup from a node of t4, which begins when the call reaches it.
    /// - Parameter output: Gets the file piece by piece, on one thread; may block.
    /// - Returns: The revision in it.
    /// - Throws: How the call ended, if not well; what `output` throws.
    package func backup(to output: @escaping Backup.Output) async throws -> Revision {
        let snapshot = try await snapshot(SnapshotService.backupMethod)
        try await SystemThread.run("t4-backup") { try snapshot.forEach(output) }
        return snapshot.revision
    }

    private func snapshot(_ method: String) async throws -> SourceSnapshot {
        let session = try await open()
        let snapshot = SourceSnapshot()
        let call = session.client.stream(
            session.client.method(method), metadata: session.metadata
        ) { _ in snapshot }
        snapshot.begin(call)
        call.send([])
        call.halfClose()
        return snapshot
    }

    // MARK: Calls

    private func call<Answer: Message>(
        _ method: String, _ request: some Message, _: Answer.Type
    ) async throws -> Answer {
        let message = try request.encoded()
        let path = "/etcdserverpb.\(method)"
        do {
            return try await EtcdSource.call(open(), path, message)
        } catch let status as RPCStatus where EtcdSource.tokenRefusals.contains(status.message) {
            await close()
            return try await EtcdSource.call(open(), path, message)
        }
    }

    private static func call<Answer: Message>(
        _ session: Session, _ path: String, _ message: [UInt8]
    ) async throws -> Answer {
        let answer = try await session.client.unary(path, message, timeout: timeout, metadata: session.metadata)
        return try Answer(serializedBytes: answer)
    }

    /// The connection, a new one where the last was lost.
    private func open() async throws -> Session {
        if let session = session.withLock({ $0 }), session.client.isConnected { return session }
        var made = Session(client: try await connect())
        if let user {
            var request = EtcdAuthenticateRequest()
            request.name = user.name
            request.password = user.password
            do {
                let answer: EtcdAuthenticateResponse = try await EtcdSource.call(
                    made, "/etcdserverpb.Auth/Authenticate", request.encoded())
                made.metadata = [("token", answer.token)]
            } catch let status as RPCStatus where status.message == "etcdserver: authentication is not enabled" {
                // Then everybody may do everything, as etcdctl sees it.
            } catch {
                await made.client.close()
                throw error
            }
        }
        session.withLock { $0 = made }
        return made
    }
}
