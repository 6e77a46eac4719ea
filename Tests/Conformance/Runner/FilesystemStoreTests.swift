import Foundation
import T4Conformance
import T4Protocols
import Testing

/// Goal: what only the filesystem store has: its layout, other processes beside it, files that are damaged or not its
/// own, limits of the disk. Method: a look at its folder, and `StoreRaceChild` processes.
@Suite struct FilesystemStoreTests {
    private static func withFolder(_ body: (String) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("t4-files-\(UUID().uuidString)")
        do {
            try await body(folder.path)
        } catch {
            try? FileManager.default.removeItem(at: folder)
            throw error
        }
        try FileManager.default.removeItem(at: folder)
    }

    private static func open(_ folder: String) async throws -> any ObjectStore {
        try await BuiltIn.openStore("filesystem", #"{"path": "\#(folder)"}"#)
    }

    private static func put(_ store: any ObjectStore, _ key: ObjectKey, _ text: String) async throws -> ObjectVersion {
        try await store.put(key, .bytes(Array(text.utf8)), when: .always)
    }

    private static func text(_ store: any ObjectStore, _ key: ObjectKey) async throws -> String {
        String(decoding: try await store.get(key, bytes: nil).bytes, as: UTF8.self)
    }

    /// All files below the folder, in order.
    private static func files(_ folder: String) throws -> [String] {
        try FileManager.default.subpathsOfDirectory(atPath: folder).filter { name in
            var isFolder: ObjCBool = false
            return FileManager.default.fileExists(atPath: "\(folder)/\(name)", isDirectory: &isFolder)
                && !isFolder.boolValue
        }.sorted()
    }

    @Test func liesOnTheDiskAsDocumented() async throws {
        try await Self.withFolder { folder in
            let store = try await Self.open(folder)
            let long = String(repeating: "x", count: 201)
            let keys = ["a", "a/b", "A b/../c", "/", "\u{E9}", long, long + "/y", ".a"].map { ObjectKey($0) }
            for key in keys { _ = try await Self.put(store, key, "body") }
            let piece = String(repeating: "x", count: 200)
            let expected = [
                "a=", "a/b=", "%41%20b/%2e./c=", "%/=", "%c3%a9=", "\(piece)+/x=", "\(piece)+/x/y=", "%2ea=",
            ].map { "objects/\($0)" }
            #expect(try Self.files(folder) == (expected + ["format", "lock"]).sorted())
            let bytes = try Data(contentsOf: URL(filePath: "\(folder)/objects/a="))
            #expect(bytes.count == 52)
            #expect(bytes.starts(with: Data("T4OBJECT\u{1}\0\0\0\0\0\0\0\u{4}\0\0\0\0\0\0\0".utf8)))
            #expect(bytes.suffix(4) == Data("body".utf8))
            try await store.delete(keys)
            #expect(try FileManager.default.contentsOfDirectory(atPath: "\(folder)/objects").isEmpty)
            await store.close()
            #expect(try FileManager.default.contentsOfDirectory(atPath: "\(folder)/tmp").isEmpty)
        }
    }

    @Test func equalBytesGetAnotherVersion() async throws {
        try await Self.withFolder { folder in
            let store = try await Self.open(folder)
            let first = try await Self.put(store, "a", "same")
            let second = try await Self.put(store, "a", "same")
            #expect(first != second)
            await store.close()
        }
    }

    @Test func refusesAFolderOfSomethingElse() async throws {
        try await Self.withFolder { folder in
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            try Data().write(to: URL(filePath: "\(folder)/precious"))
            let error = try await #require(throws: ObjectStoreError.self) { _ = try await Self.open(folder) }
            #expect(error.code == .invalidArgument)
            #expect(try Self.files(folder) == ["precious"])
        }
    }

    /// A place where nothing can be made says so for ever: it was asked again without end.
    @Test func refusesAPlaceBehindALinkToNowhere() async throws {
        try await Self.withFolder { folder in
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            try FileManager.default.createSymbolicLink(
                atPath: "\(folder)/link", withDestinationPath: "\(folder)/missing")
            await #expect {
                _ = try await Self.open("\(folder)/link/store")
            } throws: {
                "\($0)".contains("\(folder)/link/store: No such file or directory")
            }
        }
    }

    @Test func refusesAFormatThatItDoesNotKnow() async throws {
        try await Self.withFolder { folder in
            try await Self.open(folder).close()
            try Data("t4 filesystem store 2\n".utf8).write(to: URL(filePath: "\(folder)/format"))
            let error = try await #require(throws: ObjectStoreError.self) { _ = try await Self.open(folder) }
            #expect(error.code == .unsupported)
        }
    }

    @Test func completesAFolderWhoseMakingWasCutOff() async throws {
        try await Self.withFolder { folder in
            try FileManager.default.createDirectory(atPath: "\(folder)/objects", withIntermediateDirectories: true)
            try Data("t4 fil".utf8).write(to: URL(filePath: "\(folder)/format.new"))
            let store = try await Self.open(folder)
            _ = try await Self.put(store, "a", "x")
            await store.close()
        }
    }

    @Test(arguments: ["shorter", "longer", "empty", "header", "version", "link", "folder"])
    func aDamagedObjectIsToldByName(_ damage: String) async throws {
        try await Self.withFolder { folder in
            let store = try await Self.open(folder)
            _ = try await Self.put(store, "dir/damaged", "some body")
            let file = URL(filePath: "\(folder)/objects/dir/damaged=")
            var bytes = try Data(contentsOf: file)
            switch damage {
            case "shorter": bytes.removeLast()
            case "longer": bytes.append(0)
            case "empty": bytes = Data()
            case "header": bytes[30] ^= 1
            case "version": bytes[8] = 9
            case "link", "folder": try FileManager.default.removeItem(at: file)
            default: Issue.record("no damage \(damage)")
            }
            if damage == "link" {
                try FileManager.default.createSymbolicLink(atPath: file.path, withDestinationPath: "/etc/hostname")
            } else if damage == "folder" {
                try FileManager.default.createDirectory(at: file, withIntermediateDirectories: false)
            } else {
                try bytes.write(to: file)
            }
            let error = try await #require(throws: ObjectStoreError.self) {
                _ = try await Self.text(store, "dir/damaged")
            }
            #expect(error.code == .corrupted, "\(error)")
            #expect(error.message.contains("dir/damaged"))
            let listError = try await #require(throws: ObjectStoreError.self) {
                _ = try await store.list(prefix: "", after: nil, limit: 10)
            }
            #expect(listError.code == .corrupted)
            await store.close()
        }
    }

    @Test func filesThatAreNoObjectsAreLeftOut() async throws {
        try await Self.withFolder { folder in
            let store = try await Self.open(folder)
            _ = try await Self.put(store, "a/b", "x")
            // Of other programs, and spelled as no object is: those would be seen twice, or never found by name.
            for name in ["a/.nfs0001", "a/README", "a/%62=", "a/B=", "%61=", "a/x%=", "a/%ff="] {
                try Data("junk".utf8).write(to: URL(filePath: "\(folder)/objects/\(name)"))
            }
            try FileManager.default.createDirectory(
                atPath: "\(folder)/objects/lost+found", withIntermediateDirectories: true)
            let page = try await store.list(prefix: "", after: nil, limit: 10)
            #expect(page.objects.map(\.key) == ["a/b"])
            // A folder that is not ours to empty stays.
            try await store.delete(["a/b"])
            #expect(FileManager.default.fileExists(atPath: "\(folder)/objects/a/README"))
            await store.close()
        }
    }

    @Test func leftoversOfDeadWritersAreRemovedAndThoseOfLiveOnesStay() async throws {
        try await Self.withFolder { folder in
            let live = try await Self.open(folder)
            let own = try #require(try FileManager.default.contentsOfDirectory(atPath: "\(folder)/tmp").first)
            let dead = "\(folder)/tmp/abc123"
            try FileManager.default.createDirectory(atPath: dead, withIntermediateDirectories: true)
            try Data("half".utf8).write(to: URL(filePath: "\(dead)/1"))
            try Data("half".utf8).write(to: URL(filePath: "\(folder)/tmp/\(own)/900"))
            let second = try await Self.open(folder)
            #expect(try Self.files("\(folder)/tmp") == ["\(own)/900"])
            #expect(!FileManager.default.fileExists(atPath: dead))
            _ = try await Self.put(live, "a", "x")
            _ = try await Self.put(second, "b", "x")
            await live.close()
            await second.close()
            try await Self.open(folder).close()
            #expect(try FileManager.default.contentsOfDirectory(atPath: "\(folder)/tmp").isEmpty)
        }
    }

    @Test func writersInThreeProcessesNeverBothWin() async throws {
        try await Self.withFolder { folder in
            let store = try await Self.open(folder)
            _ = try await Self.put(store, "list", "start")
            let children = try ["x", "y", "z"].map { try StoreChild("race", folder: folder, writer: $0) }
            for child in children { #expect(await child.waitForLines { $0.contains("ready") }) }
            for child in children { child.write("go\n") }
            for child in children { #expect(await child.waitForLines { $0.contains("done") }) }
            for child in children {
                await child.waitUntilOver()
                #expect(child.hasSucceeded)
            }
            var wins: [String: Int] = [:]
            for (child, writer) in zip(children, ["x", "y", "z"]) {
                for line in child.lines where line.hasPrefix("won ") {
                    let key = ObjectKey("race/\(line.dropFirst(4))")
                    wins[key.rawValue, default: 0] += 1
                    #expect(try await Self.text(store, key) == writer)
                }
            }
            #expect(wins.count == 40 && wins.values.allSatisfy { $0 == 1 }, "\(wins)")
            let entries = try await Self.text(store, "list").split(separator: " ")
            #expect(entries.count == 121)
            #expect(Set(entries).count == 121)
            await store.close()
        }
    }

    @Test func whatAKilledWriterHadPutIsThereAndWhole() async throws {
        try await Self.withFolder { folder in
            for round in 1...3 {
                let child = try StoreChild("write", folder: "\(folder)/\(round)")
                #expect(await child.waitForLines { $0.count > round * 7 })
                child.kill()
                #expect(await child.waitUntilOver() == .signal(SIGKILL))
                let acknowledged = child.lines.compactMap { Int($0) }
                let store = try await Self.open("\(folder)/\(round)")
                for number in acknowledged {
                    let body = try await store.get(ObjectKey("kept/\(number % 7)/\(number)"), bytes: nil).bytes
                    #expect(body == [UInt8](repeating: UInt8(number & 255), count: 300_000))
                }
                let last = try #require(acknowledged.last)
                let head = try #require(Int(try await Self.text(store, "head")))
                #expect(head >= last)
                // No half object is visible, and none of those in the making is left.
                for info in try await store.list(prefix: "", after: nil, limit: 1000).objects where info.key != "head" {
                    #expect(info.size == 300_000, "\(info.key)")
                    let parts = info.key.rawValue.split(separator: "/")
                    #expect(parts[0] == "kept" || Int(parts[1]) == last + 1, "\(info.key) was deleted")
                }
                #expect(try Self.files("\(folder)/\(round)/tmp").isEmpty)
                await store.close()
            }
        }
    }

    @Test func aFullDiskAndAMissingPermissionHaveErrorsOfTheirOwn() async throws {
        try await Self.withFolder { folder in
            let full = try StoreChild("full", folder: "\(folder)/full")
            #expect(await full.waitForLines { $0.count == 3 })
            #expect(full.lines == ["ready", "noSpace", "ok"])
            await full.waitUntilOver()
            #expect(try Self.files("\(folder)/full/tmp").isEmpty)
            let denied = try StoreChild("denied", folder: "\(folder)/denied")
            #expect(await denied.waitForLines { $0.count == 2 })
            #expect(denied.lines == ["ready", "permissionDenied"])
            await denied.waitUntilOver()
            chmod("\(folder)/denied/objects", 0o700)
        }
    }

    @Test(arguments: [#"{"path": ""}"#, #"{"threads": 0}"#, #"{"threads": 257}"#, #"{"conditional_puts": "maybe"}"#])
    func refusesSettingsOutOfRange(_ settings: String) async throws {
        await #expect(throws: DecodingError.self) { _ = try await BuiltIn.openStore("filesystem", settings) }
    }
}
