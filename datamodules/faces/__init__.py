"""Face crops: from boxes and pictures to grey squares, once for all, and what training does to them."""
