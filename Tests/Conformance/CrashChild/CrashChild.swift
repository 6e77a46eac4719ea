import ConformanceMutants
import Foundation
import T4Conformance

/// The process that the suite kills, stops and starves: `CrashChild ENGINE`.
@main
struct CrashChild {
    static func main() {
        let name = CommandLine.arguments.dropFirst().joined(separator: " ")
        EngineChild.runIfStarted { try openSubject(name, $0) }
        FileHandle.standardError.write(Data("CrashChild is started by the conformance tests only\n".utf8))
        exit(64)
    }
}
