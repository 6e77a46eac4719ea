import Foundation
import T4Protocols

extension EngineRules {
    /// What an engine does about files that were changed behind its back.
    static let damageRules = [
        EngineRule("changed bytes are told or harmless", needs: [.files, .childProgram, .damagePromise]) { engine in
            try await engine.withStorage { storage in
                let workload = Workload(seed: 7)
                let files = try writtenFiles(storage, workload)
                var generator = SeededGenerator(seed: 7)
                var images: [(name: String, directory: String)] = []
                for (file, content) in files.sorted(by: { $0.key < $1.key }) where !content.isEmpty {
                    for offset in offsets(content.count, using: &generator) {
                        var changed = content
                        changed[content.startIndex + offset] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
                        let directory = try storage.makeDirectory("\(images.count)")
                        try directory.write(files.merging([file: changed]) { $1 })
                        images.append(("\(file) with a changed bit in byte \(offset)", directory.directory))
                    }
                }
                let child = try storage.startChild(.inspect(directories: images.map(\.directory), workload))
                for (name, _) in images {
                    guard let line = try child.next(), line.word != .done else {
                        throw RuleViolation("\(name): the process that read it ended: \(child.waitForEnd())")
                    }
                    if line.word == .wrong, engine.damage == .detected {
                        throw RuleViolation("\(name): \(line.message)")
                    }
                }
                try child.wait(for: .done)
                child.waitForEnd()
            }
        }
    ]

    /// The files of a closed engine that has seen batches, deletes, reopening and a sync.
    private static func writtenFiles(_ storage: EngineStorage, _ workload: Workload) throws -> [String: Data] {
        let original = try storage.makeDirectory("original")
        for batches in [1...20, 21...40] as [ClosedRange<UInt64>] {
            let engine = try original.open()
            for index in batches { try workload.apply(index, to: engine) }
            try engine.sync()
            try engine.close()
        }
        return try original.files()
    }

    /// The first bytes, the last ones, and some between: headers, trailers and data.
    private static func offsets(_ count: Int, using generator: inout SeededGenerator) -> [Int] {
        let chosen = [0, 1, 4, 8, 12, 16, 24, 32].flatMap { [$0, count - 1 - $0] }
        let random = (0..<24).map { _ in Int.random(in: 0..<count, using: &generator) }
        return Set(chosen + random).filter { (0..<count).contains($0) }.sorted()
    }
}
