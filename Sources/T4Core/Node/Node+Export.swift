extension Node {
    /// Where large temporary files may lie: on the disk of the database, whose files they are like in size.
    package var temporaryFilesDirectory: String { configuration.dataDirectory }
}
