import RPC
import Synchronization

/// Connections to other nodes, one for each address, for the stream and the questions.
final class PeerClients: Sendable {
    /// Why there is none.
    struct Unreachable: Error, CustomStringConvertible {
        var description: String
    }

    private struct State {
        var connected: [String: RPCClient] = [:]
        var connecting: [String: Task<Result<RPCClient, Unreachable>, Never>] = [:]
        var isStopped = false
    }

    private enum Step {
        case there(RPCClient)
        case wait(Task<Result<RPCClient, Unreachable>, Never>)
        case no
    }

    private let configuration: PeerConfiguration
    private let loops = RPCEventLoops(threads: 1)
    /// Reads the TLS files.
    private let files = BackgroundQueue(name: "t4-peer-files")
    private let state = Mutex(State())

    init(_ configuration: PeerConfiguration) { self.configuration = configuration }

    /// The connection to an address, where there is one.
    func connected(to address: String) -> RPCClient? {
        state.withLock { state in state.connected[address].flatMap { $0.isConnected ? $0 : nil } }
    }

    /// The connection to an address, a new one where there is none or it is lost.
    func client(for address: String) async throws(Unreachable) -> RPCClient {
        let step = state.withLock { state -> Step in
            if let client = state.connected[address], client.isConnected { return .there(client) }
            if let task = state.connecting[address] { return .wait(task) }
            guard !state.isStopped else { return .no }
            let task = Task {
                let result = await self.connect(address)
                self.finished(address, result)
                return result
            }
            state.connecting[address] = task
            return .wait(task)
        }
        switch step {
        case .there(let client): return client
        case .wait(let task): return try await task.value.get()
        case .no: throw Unreachable(description: "the node stops")
        }
    }

    private func finished(_ address: String, _ result: Result<RPCClient, Unreachable>) {
        state.withLock { state in
            state.connecting[address] = nil
            state.connected = state.connected.filter { $0.value.isConnected }
            if case .success(let client) = result { state.connected[address] = client }
        }
    }

    private func connect(_ text: String) async -> Result<RPCClient, Unreachable> {
        guard let address = HostPort(text) else {
            return .failure(Unreachable(description: "\"\(text)\" is no address: write HOST:PORT"))
        }
        do {
            return .success(
                try await RPCClient.connect(
                    host: address.host, port: address.port, configuration: configuration.dialling(await tls()),
                    loops: loops))
        } catch {
            return .failure(Unreachable(description: "\(error)"))
        }
    }

    private func tls() async -> RPCClientTLS? {
        guard let tls = configuration.tls else { return nil }
        return await withCheckedContinuation { continuation in
            files.run { continuation.resume(returning: tls.client.current()) }
        }
    }

    /// Closes all connections and ends the threads.
    func stop() async throws {
        let connecting = state.withLock { state in
            state.isStopped = true
            return Array(state.connecting.values)
        }
        for task in connecting { _ = await task.value }
        let connected = state.withLock { state in
            defer { state.connected = [:] }
            return Array(state.connected.values)
        }
        await withTaskGroup(of: Void.self) { group in
            for client in connected { group.addTask { await client.close() } }
        }
        files.stop()
        try await loops.shutdown()
    }
}
