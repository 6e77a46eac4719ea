/// Where the commit thread writes entries: the log on disk, or a double of it in tests.
package protocol EntryLog: AnyObject {
    /// Writes a batch of entries behind the last one and makes them survive power loss.
    ///
    /// After an error the outcome is unknown and the log must not be used again.
    func appendAndSync(_ entries: [LogEntry]) throws
    /// True when entries of about that size surely fit on the disk.
    func hasRoom(forBytes count: Int) -> Bool
    /// Releases the files.
    func close() throws
}
