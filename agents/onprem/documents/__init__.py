"""The four files exchanged with the portal: written as streams; verified before they are read, read strictly."""
