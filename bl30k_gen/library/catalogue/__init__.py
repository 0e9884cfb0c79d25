"""What there is: layouts of asset folders, index, manifest, selection, licences, credits."""
