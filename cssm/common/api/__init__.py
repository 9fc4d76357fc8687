"""What every API view stands on: strict input, one error map, paging, repeatable POSTs. Knows no app."""
