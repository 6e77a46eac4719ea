import ArgumentParser
import Logging
import T4Config
import T4Core
import T4Protocols

extension StoreOptions {
    /// Opens the store, runs what blocks on a thread of its own, and closes the store.
    func with<Value: Sendable>(
        _ body: @escaping @Sendable (OpenedStore) throws -> Value
    ) async throws -> Value {
        let opened = try await open(
            logger: Logger(label: "t4") { LineLogHandler(label: $0, level: .warning, format: .text) })
        do {
            let value = try await SystemThread.run("command") { try body(opened) }
            await opened.close()
            return value
        } catch {
            await opened.close()
            throw opened.explained(error)
        }
    }
}

extension StoreOptions {
    /// Opens the store, runs a command on it, closes the store, and tells people of an error.
    /// - Parameter writer: The command, where it changes the store: one that shows the past is refused.
    func report(writer: String? = nil, _ body: (OpenedStore) async throws -> Void) async throws {
        do {
            let configuration = try configuration()
            if let writer { try configuration.requirePresentStore(for: writer) }
            let opened = try await open(
                configuration, logger: Logger(label: "t4") { LineLogHandler(label: $0, level: .warning, format: .text) }
            )
            do {
                try await body(opened)
            } catch {
                await opened.close()
                throw opened.explained(error)
            }
            await opened.close()
        } catch {
            throw fail(error)
        }
    }
}

extension OpenedStore {
    /// The objects of the database under another prefix.
    func objects(below prefix: String) -> any ObjectStore { PrefixedStore(root, prefix: prefix) }
}
