import Foundation
import Synchronization

/// A moto process with one bucket, which takes any credentials: `S3StoreTests` is where signatures are checked.
///
/// It ends with this process, however that ends: it reads its standard input up to the end.
final class S3Service: Sendable {
    static let bucket = "my-bucket"
    let endpoint: String
    private let process: ChildProcess
    private let trapCount = Mutex(0)

    /// Where `scripts/fetch-moto` puts it.
    private static let libraries = TestEnvironment.root.appending(path: ".build/tools/moto/lib").path

    static var isInstalled: Bool { FileManager.default.fileExists(atPath: libraries) }

    init() async throws {
        let environment = TestEnvironment.forChildren.merging(["PYTHONPATH": S3Service.libraries]) { $1 }
        process = try ChildProcess(
            TestEnvironment.root.appending(path: "scripts/serve-moto").path, ["--bucket", S3Service.bucket],
            environment: environment)
        endpoint = try await process.errors.wait(for: "moto to be ready") { said in
            if said.ended { throw ProcessFailure("moto ended: \(said)") }
            return said.description.firstMatch(of: /Running on (?<endpoint>http:\S+)\s/).map { String($0.endpoint) }
        }
    }

    /// Holds a request: the `number`-th from now on in which a regular expression finds something. How requests read stands
    /// in `scripts/serve-moto`.
    func trap(_ pattern: String, number: Int = 1, _ moment: RequestTrap.Moment) async throws -> RequestTrap {
        let name = trapCount.withLock { count in
            count += 1
            return "trap\(count)"
        }
        say("trap \(name) \(moment.rawValue) \(number) \(pattern)")
        _ = try await answer("SET \(name)")
        return RequestTrap(service: self, name: name, pattern: pattern)
    }

    fileprivate func say(_ line: String) { process.write(Array("\(line)\n".utf8)) }

    /// Whether a whole line has come that begins with some words.
    fileprivate func hasSaid(_ words: String) -> Bool {
        process.output.value.description.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
            .contains { $0.hasPrefix(words + " ") }
    }

    /// Waits for a line that begins with some words.
    /// - Returns: What follows them.
    fileprivate func answer(_ words: String) async throws -> String {
        // What has to happen before may take a busy machine long.
        try await process.output.wait(for: "\"\(words)\" of moto", within: .seconds(180)) { said in
            // A line counts only when it is complete.
            let lines = said.description.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
            if let line = lines.first(where: { $0 == words || $0.hasPrefix(words + " ") }) {
                return String(line.dropFirst(words.count + 1))
            }
            if said.ended { throw ProcessFailure("moto ended") }
            return nil
        }
    }
}

/// One request that an `S3Service` is to hold. Others are answered meanwhile.
struct RequestTrap: Sendable {
    enum Moment: String, Sendable {
        /// It has not been carried out.
        case before
        /// It has been carried out, and is not answered.
        case after
    }

    fileprivate let service: S3Service
    fileprivate let name: String
    fileprivate let pattern: String

    /// Whether the request is held by now.
    var isCaught: Bool { service.hasSaid("TRAPPED \(name)") }

    /// Waits until the request is held.
    func caught() async throws {
        do {
            _ = try await service.answer("TRAPPED \(name)")
        } catch let error as TimedOut {
            throw TimedOut(description: "no request \(pattern): \(error)")
        }
    }

    /// Lets the request go on, also when its sender is dead, and waits until it has been carried out.
    func letGo() async throws {
        service.say("go \(name)")
        _ = try await service.answer("ENDED \(name)")
    }

    /// Ends the request. One that has not been carried out never will be.
    func drop() async throws {
        service.say("drop \(name)")
        _ = try await service.answer("ENDED \(name)")
    }
}
