import Foundation
import T4Protocols

extension EngineRules {
    /// What an engine that claims to be power-loss safe must open: directories that a crash of the system can leave.
    ///
    /// A library cannot reorder the page writes of a real disk. These rules make the crash images that every file system
    /// can leave: all files at one moment, and the one file that was being appended to, cut anywhere or with zeros where
    /// its last bytes did not arrive.
    static let powerLossRules = [
        EngineRule(
            "a copy of a running engine's files opens at a whole batch",
            needs: [.files, .childProgram, .powerLossSafety]
        ) { engine in
            try await engine.withStorage { storage in
                let workload = Workload(seed: 8)
                let original = try storage.makeDirectory("original")
                let child = try original.startChild(.write(directory: original.directory, workload))
                var images: [CrashImage] = []
                var synced: UInt64 = 0
                for number in 1...8 {
                    for _ in 0..<(number * 4) {
                        if let line = try child.next(), line.word == .synced { synced = line.number }
                    }
                    // A line comes between two batches; the moments of interest are in the next one.
                    waitForChange(of: original.directory)
                    try child.pause()
                    let copy = "\(storage.directory)/\(number)"
                    try FileManager.default.copyItem(atPath: original.directory, toPath: copy)
                    images.append(CrashImage(directory: copy, lowest: synced, name: "copy \(number)"))
                    child.resume()
                }
                _ = try child.killNow()
                try inspect(images, storage, workload)
            }
        },
        EngineRule(
            "files whose last bytes did not reach the disk open at a whole batch",
            needs: [.files, .childProgram, .powerLossSafety]
        ) { engine in
            try await engine.withStorage { storage in
                let workload = Workload(seed: 9)
                let original = try storage.makeDirectory("original")
                let count: UInt64 = 6
                let child = try original.startChild(
                    .writeOneUnsynced(directory: original.directory, workload, count: count))
                try child.waitUntilStopped()
                let before = try original.files()
                child.resume()
                try child.waitUntilStopped()
                let after = try original.files()
                _ = try child.killNow()
                let images = try crashImages(before, after).enumerated().map { number, image in
                    let directory = try storage.makeDirectory("\(number)")
                    try directory.write(image.files)
                    return CrashImage(directory: directory.directory, lowest: count, name: image.name)
                }
                try inspect(images, storage, workload)
            }
        },
    ]

    /// Returns when a file of the directory was changed, or after so many looks that an engine which changes none would
    /// have been through several batches.
    private static func waitForChange(of directory: String) {
        func look() -> [timespec] {
            let names = (FileManager.default.enumerator(atPath: directory)?.compactMap { $0 as? String }) ?? []
            return names.map { name in
                var info = stat()
                return stat(directory + "/" + name, &info) == 0 ? info.st_mtim : timespec()
            }
        }
        func isSame(_ one: [timespec], _ other: [timespec]) -> Bool {
            one.count == other.count
                && zip(one, other).allSatisfy { $0.tv_sec == $1.tv_sec && $0.tv_nsec == $1.tv_nsec }
        }
        let before = look()
        for _ in 0..<500 where isSame(look(), before) { sched_yield() }
    }

    /// Sets of files that a power loss can leave between two moments.
    ///
    /// Where more than one file has changed, or one other than at its end, nothing is known about the order of the
    /// writes, and only the files as they were at both moments are sure to be possible.
    private static func crashImages(
        _ before: [String: Data], _ after: [String: Data]
    ) -> [(name: String, files: [String: Data])] {
        var images = [("the files after the sync", before), ("the files after the next batch", after)]
        let changed = after.filter { before[$0.key] != $0.value }
        guard before.keys.allSatisfy({ after[$0] != nil }), changed.count == 1, let (name, new) = changed.first,
            let old = before[name], new.starts(with: old)
        else { return images }
        let added = new.count - old.count
        let cuts = Set((0...16).map { $0 * added / 16 } + [1, 4, 8, 12, 16, 20, 24, added - 1].filter { $0 <= added })
        for cut in cuts.sorted() {
            let start = Data(new.prefix(old.count + cut))
            images.append(("\(name) without its last \(added - cut) bytes", after.merging([name: start]) { $1 }))
            let zeros = start + Data(count: added - cut)
            images.append(("\(name) with zeros for its last \(added - cut) bytes", after.merging([name: zeros]) { $1 }))
        }
        return images
    }

    private struct CrashImage {
        var directory: String
        /// Index that must not be lost.
        var lowest: UInt64
        var name: String
    }

    private static func inspect(_ images: [CrashImage], _ storage: EngineStorage, _ workload: Workload) throws {
        let child = try storage.startChild(.inspect(directories: images.map(\.directory), workload))
        for image in images {
            guard let line = try child.next(), line.word != .done else {
                throw RuleViolation("\(image.name): the process that opened it ended: \(child.waitForEnd())")
            }
            try expect(line.word == .whole, "\(image.name): \(line.message)")
            try expect(
                line.number >= image.lowest, "\(image.name): opened at index \(line.number), synced was \(image.lowest)"
            )
        }
        try child.wait(for: .done)
        child.waitForEnd()
    }
}

extension EngineStorage {
    /// Writes files into the directory.
    func write(_ files: [String: Data]) throws {
        for (name, content) in files {
            let file = URL(fileURLWithPath: "\(directory)/\(name)")
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try content.write(to: file)
        }
    }
}
