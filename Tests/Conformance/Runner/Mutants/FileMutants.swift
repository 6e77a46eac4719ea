import Foundation
import Synchronization
import T4BuiltIns
import T4Conformance
import T4Protocols

extension Mutant {
    /// Flaws of opening, closing and syncing files.
    static let fileMutants =
        [
            files("writes nothing at close", breaks: "rows and position are there after opening again") {
                try DelayedEngine(BaseEngine.logFile.open($0), context: $0, flaw: .closeWritesNothing)
            },
            files("forgets repeated positions", breaks: "a batch at the position of the one before is kept") {
                try DelayedEngine(BaseEngine.logFile.open($0), context: $0, flaw: .forgetsRepeatedPositions)
            },
            files("writes nothing at a sync", breaks: "after a sync everything applied is durable") {
                try DelayedEngine(BaseEngine.logFile.open($0), context: $0, flaw: .syncWritesNothing)
            },
            files(
                "writes in an inspection", breaks: "an inspection of an idle directory changes no file"
            ) { context in
                if context.isReadOnly { try touch("\(context.directory)/inspected") }
                return try BaseEngine.logFile.open(context)
            },
            files(
                "cannot write beside an inspection", breaks: "an inspection reads beside a writer and cannot write"
            ) { context in
                if context.isReadOnly { try touch("\(context.directory)/inspected") }
                return FlawedEngine(
                    try BaseEngine.logFile.open(context),
                    Flaw(apply: { (engine, batch, position) throws(EngineError) in
                        if !context.isReadOnly, exists("\(context.directory)/inspected") {
                            throw EngineError(.ioFailed, "the file has changed")
                        }
                        try engine.apply(batch, at: position)
                    }))
            },
            files("lets two write", breaks: "a second writer is refused") { context in
                do {
                    return try BaseEngine.logFile.open(context)
                } catch let error as EngineError where error.code == .inUse {
                    try FileManager.default.removeItem(atPath: "\(context.directory)/lock")
                    return try BaseEngine.logFile.open(context)
                }
            },
            files(
                "never lets go of a directory that it could not open",
                breaks: "damaged files are refused or opened, and either way make room for a rebuild"
            ) { context in
                let isHeld = failedDirectories.withLock { $0.contains(context.directory) }
                if isHeld { throw EngineError(.inUse, "\(context.directory) is open") }
                do {
                    return try BaseEngine.logFile.open(context)
                } catch {
                    failedDirectories.withLock { _ = $0.insert(context.directory) }
                    throw error
                }
            },
            files("starts with a row", breaks: "an emptied directory takes a rebuild") { context in
                let isNew = !exists("\(context.directory)/rows.log")
                let engine = try BaseEngine.logFile.open(context)
                if isNew, !context.isReadOnly { try engine.apply(batch([Row(key: [1], value: [])]), at: .zero) }
                return engine
            },
            files(
                "refuses a file that was cut off",
                breaks: "files whose last bytes did not reach the disk open at a whole batch"
            ) { context in
                let path = "\(context.directory)/rows.log"
                let size = try exists(path) ? FileManager.default.attributesOfItem(atPath: path)[.size] as? Int : nil
                let engine = try BaseEngine.logFile.open(context)
                if let size, try engine.sizeOnDisk() < size {
                    try engine.close()
                    throw EngineError(.corrupted, "\(path) was cut off")
                }
                return engine
            },
        ] + falseClaims

    /// The lmdb engine has no checksums: to say that it detects damage is wrong.
    private static var falseClaims: [Mutant] {
        guard BackendRegistry.builtIn.engineNames.contains("lmdb") else { return [] }
        let claim = Mutant(
            name: "shows damaged rows", rule: "changed bytes are told or harmless",
            capabilities: EngineCapabilities(isPowerLossSafe: false, readsAreInline: true, isVolatile: false),
            damage: .detected
        ) { try BackendRegistry.builtIn.makeEngine("lmdb", settings: TextSettings(), context: $0) }
        return [claim]
    }

    private static let failedDirectories = Mutex<Set<String>>([])

    private static func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

    private static func touch(_ path: String) throws { try Data().write(to: URL(fileURLWithPath: path)) }
}
