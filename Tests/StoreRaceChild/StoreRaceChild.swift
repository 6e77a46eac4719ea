import Foundation
import Logging
import T4BuiltIns
import T4Protocols

/// A client of a filesystem store in a process of its own: `StoreRaceChild MODE FOLDER WRITER`.
@main
enum StoreRaceChild {
    static func main() async throws {
        let arguments = CommandLine.arguments
        let store = try await open(arguments[2])
        say("ready")
        switch arguments[1] {
        case "race": try await race(store, writer: arguments[3])
        case "write": try await write(store)
        case "full": try await writeBeyondTheLimit(store)
        case "denied": try await writeWithoutPermission(store, folder: arguments[2])
        default: fatalError("no mode \(arguments[1])")
        }
        await store.close()
    }

    /// How many objects the writers of a race want to create, and how often each raises the counter.
    private static let rounds = 40

    /// Once told to go: creates each object if it is absent, then adds to a list by swaps. Says what it won.
    private static func race(_ store: any ObjectStore, writer: String) async throws {
        guard readLine() == "go" else { return }
        for round in 0..<rounds {
            let key = ObjectKey("race/\(round)")
            do throws(ObjectStoreError) {
                _ = try await store.put(key, .bytes(Array(writer.utf8)), when: .absent)
                say("won \(round)")
            } catch {
                guard error.code == .alreadyExists else { throw error }
            }
        }
        for round in 0..<rounds {
            while true {
                let stored = try await store.get("list", bytes: nil)
                let body = stored.bytes + Array(" \(writer).\(round)".utf8)
                do throws(ObjectStoreError) {
                    _ = try await store.put("list", .bytes(body), when: .unchanged(since: stored.info.version))
                    break
                } catch {
                    guard error.code == .conditionFailed else { throw error }
                }
            }
        }
        say("done")
    }

    /// Puts large objects, swaps a small one and deletes others until it is killed. Says each step when it is done.
    private static func write(_ store: any ObjectStore) async throws {
        var head: PutCondition = .absent
        for number in 0... {
            let body = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 300_000)
            _ = try await store.put(ObjectKey("kept/\(number % 7)/\(number)"), .bytes(body), when: .absent)
            head = .unchanged(since: try await store.put("head", .bytes(Array("\(number)".utf8)), when: head))
            _ = try await store.put(ObjectKey("passing/\(number)/x"), .bytes(body), when: .always)
            try await store.delete([ObjectKey("passing/\(number)/x")])
            say("\(number)")
        }
    }

    /// A limit on the size of files stands for a full disk.
    private static func writeBeyondTheLimit(_ store: any ObjectStore) async throws {
        signal(SIGXFSZ, SIG_IGN)
        var limit = rlimit(rlim_cur: 100_000, rlim_max: 100_000)
        guard setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0 else {
            fatalError("setrlimit: \(errno)")
        }
        await sayOutcome { () throws(ObjectStoreError) in
            try await store.put("a", .bytes([UInt8](repeating: 1, count: 200_000)), when: .always)
        }
        await sayOutcome { () throws(ObjectStoreError) in
            try await store.put("a", .bytes([UInt8](repeating: 1, count: 50_000)), when: .always)
        }
    }

    private static func writeWithoutPermission(_ store: any ObjectStore, folder: String) async throws {
        _ = try await store.put("a", .bytes([1]), when: .always)
        guard geteuid() == 0 ? seteuid(65534) == 0 : chmod("\(folder)/objects", 0o500) == 0 else {
            fatalError("the permission could not be taken away: \(errno)")
        }
        await sayOutcome { () throws(ObjectStoreError) in try await store.put("b", .bytes([1]), when: .always) }
    }

    private static func sayOutcome(_ put: () async throws(ObjectStoreError) -> ObjectVersion) async {
        do throws(ObjectStoreError) {
            _ = try await put()
            say("ok")
        } catch {
            say("\(error.code)")
        }
    }

    private static func open(_ folder: String) async throws -> any ObjectStore {
        try await BackendRegistry.builtIn.makeStore(
            "filesystem", settings: FolderSettings(path: folder),
            context: StoreContext(dataDirectory: folder, logger: Logger(label: "store-race-child")))
    }

    /// At once, for a reader on a pipe.
    private static func say(_ line: String) { FileHandle.standardOutput.write(Data("\(line)\n".utf8)) }
}

private struct FolderSettings: SettingsSource {
    let path: String

    func decode<Settings: Decodable & Sendable>(_ type: Settings.Type) throws -> Settings {
        try JSONDecoder().decode(type, from: JSONEncoder().encode(["path": path]))
    }
}
