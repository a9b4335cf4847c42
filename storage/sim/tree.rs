//! Finding things: from paths to nodes, and from nodes to what they are.

use super::disk::{Node, ROOT, State};
use super::file::FileNode;
use super::names::DirNode;
use super::rng::Fnv;
use std::io;
use std::path::{Component, Path};
use std::sync::Arc;

impl State {
    pub fn add(&mut self, node: Node) -> u64 {
        let id = self.next_node;
        self.next_node += 1;
        self.nodes.insert(id, node);
        id
    }

    /// The node that `path` leads to, as seen.
    pub fn walk(&self, path: &Path) -> io::Result<u64> {
        let mut at = ROOT;
        for component in path.components() {
            let name = match component {
                Component::RootDir | Component::CurDir => continue,
                Component::Normal(name) => name.to_str().ok_or(io::ErrorKind::InvalidInput)?,
                Component::ParentDir | Component::Prefix(_) => {
                    return Err(io::ErrorKind::InvalidInput.into());
                }
            };
            let entries = &self.dir(at)?.volatile;
            at = *entries.get(name).ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(at)
    }

    /// The directory that `path` is in, and its name there.
    pub fn parent<'a>(&self, path: &'a Path) -> io::Result<(u64, &'a str)> {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or(io::ErrorKind::InvalidInput)?;
        let dir = self.walk(path.parent().unwrap_or(Path::new("")))?;
        self.dir(dir)?;
        Ok((dir, name))
    }

    pub fn node(&self, id: u64) -> io::Result<&Node> {
        Ok(self.nodes.get(&id).ok_or(io::ErrorKind::NotFound)?)
    }

    pub fn dir(&self, id: u64) -> io::Result<&DirNode> {
        match self.node(id)? {
            Node::Dir(dir) => Ok(dir),
            Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    pub fn dir_mut(&mut self, id: u64) -> io::Result<&mut DirNode> {
        match self.nodes.get_mut(&id) {
            Some(Node::Dir(dir)) => Ok(Arc::make_mut(dir)),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub fn file(&self, id: u64) -> io::Result<&FileNode> {
        match self.node(id)? {
            Node::File(file) => Ok(file),
            Node::Dir(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    pub fn regular(&self, id: u64) -> io::Result<()> {
        match self.node(id)? {
            Node::File(_) => Ok(()),
            Node::Dir(_) => {
                let why = "not a regular file but a directory";
                Err(io::Error::new(io::ErrorKind::InvalidInput, why))
            }
        }
    }

    /// Hash of the durable tree.
    pub fn hash(&self, id: u64) -> u64 {
        let mut hash = Fnv::new();
        match self.nodes.get(&id) {
            Some(Node::File(file)) => hash.write(&file.durable.hash().to_le_bytes()),
            Some(Node::Dir(dir)) => {
                for (name, &child) in dir.durable.iter() {
                    hash.write(name.as_bytes());
                    // No name contains a slash, so the ends of names are part of the hash.
                    hash.write(b"/");
                    hash.write(&self.hash(child).to_le_bytes());
                }
            }
            None => {}
        }
        hash.finish()
    }
}
