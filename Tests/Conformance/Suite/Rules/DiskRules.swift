extension EngineRules {
    /// What happens when the disk is full.
    static let diskRules = [
        EngineRule("a full disk fails a batch whole, and nothing else", needs: [.files, .childProgram]) { engine in
            try await engine.withStorage { storage in
                // Batches of about 1 MiB.
                let workload = Workload(seed: 6, keyCount: 4000, changeCount: 20, valueBytes: 60_000...70_000)
                let child = try storage.startChild(.fill(directory: storage.directory, workload))
                try child.wait(for: .done)
                child.waitForEnd()
            }
        }
    ]
}
