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
                // Opening takes long with some engines, so that many files get fewer changes each.
                let changes = min(max(64 / files.count { !$0.value.isEmpty }, 6), 40)
                for (file, content) in files.sorted(by: { $0.key < $1.key }) where !content.isEmpty {
                    for offset in offsets(content.count, changes, using: &generator) {
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

    /// Places in a file: half of them near its start or end, where headers and trailers are, the others anywhere.
    private static func offsets(_ count: Int, _ changes: Int, using generator: inout SeededGenerator) -> [Int] {
        let edge = min(count, 48)
        let offsets = (0..<changes).map { number in
            switch number % 4 {
            case 0: Int.random(in: 0..<edge, using: &generator)
            case 1: count - 1 - Int.random(in: 0..<edge, using: &generator)
            default: Int.random(in: 0..<count, using: &generator)
            }
        }
        return Set(offsets).sorted()
    }
}
