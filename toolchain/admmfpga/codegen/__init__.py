"""From a mapped design to the text files of a build folder."""
